#!/bin/bash
# Sample programs with options, recipes, data and pictures of their own. usage: examples_test.sh GAUSSIANS WGAN_GP
set -u
gaussians=$(realpath "$1")
wgan_gp=$(realpath "$2")
. "$(dirname "$(realpath "$0")")/programs.sh"

small=(--width 8 --batch 16)

# --- every recipe, a ring and a grid ---
for recipe in $("$gaussians" --help | sed -n 's/^--recipe \([a-z0-9-]*\):.*/\1/p'); do
    resumes "$recipe" "$gaussians" "${small[@]}" --recipe "$recipe"
done
[ -d original-whole ] || fail "gaussians has no recipe \"original\""
grep -q '"loss":.*"minimax"' original-whole/config.json || fail "a recipe did not set the loss"
resumes ring "$gaussians" "${small[@]}" --shape ring --modes 25 --sigma 0.1 --sample-every 2
grep -q '"shape":.*"ring"' ring-parts/config.json || fail "config.json does not name the program's own choice"
ok "$gaussians" evaluate ring-whole --count 500 --json
grep -q '"high_quality":' out || { fail "evaluate does not say what the program measures"; cat out; }
refused "has no option --features" "$gaussians" train "${small[@]}" --out x --features file
refused "has no option --evaluate-every" "$gaussians" train "${small[@]}" --out x --steps 2 --evaluate-every 1
python3 - <<'PYTHON' || fail "the ring's log has not what was measured"
import json
lines = [json.loads(line) for line in open("ring-whole/log.jsonl")]
measured = [line for line in lines if "modes" in line]
assert [line["step"] for line in measured] == [2, 4], lines
assert all(0 <= line["modes"] <= 25 and 0 <= line["high_quality"] <= 1 for line in measured), measured
PYTHON

# --- clusters that overlap: a sample is of the nearest centre, not of the first one in reach ---
ok "$gaussians" train "${small[@]}" --shape ring --modes 4 --sigma 1 --out wide --steps 1
ok "$gaussians" evaluate wide --count 500 --json
python3 -c 'import json; assert json.load(open("out"))["modes"] > 1' || { fail "all samples count for one centre"; cat out; }

# --- an option of the command line wins over a recipe, wherever it stands ---
ok "$gaussians" train "${small[@]}" --loss hinge --recipe original --out wins --steps 1
grep -q '"loss":.*"hinge"' wins/config.json || fail "a recipe won over the command line"

# --- pictures and points ---
for file in film.png samples/step-000004.png; do
    python3 -c 'import struct, sys; d = open(sys.argv[1], "rb").read(); assert d[25] == 2 and struct.unpack(">I", d[20:24])[0] >= 240' \
        ring-whole/$file || fail "ring-whole/$file is no picture of points"
done
ok "$gaussians" generate ring-whole --count 100 --output points.png
ok "$gaussians" generate ring-whole --count 100 --output points.npy
head -c 128 points.npy | grep -q "'<f4'.*(100, 1, 1, 2)" || fail "points.npy is not what it should be"
ok "$gaussians" bench "${small[@]}" --steps 1

# --- words ---
refused "10 modes are no square grid" "$gaussians" train --modes 10 --out x
refused "--pack 3" "$gaussians" train "${small[@]}" --pack 3 --out x
ok "$gaussians" bench --width 8 --batch 15 --pack 3 --steps 1
refused "expected grid|ring" "$gaussians" train --shape star --out x
refused "--sigma 5: expected a number from 0.001 to 1" "$gaussians" train --sigma 5 --out x
refused "--modes 2.5: expected a whole number" "$gaussians" train --modes 2.5 --out x
refused "did you mean --shape" "$gaussians" train --shap ring --out x
refused "train takes options only" "$gaussians" train data --out x
refused "has no option --size" "$gaussians" train --size 32 --out x
refused "expected none|original" "$gaussians" train --recipe best --out x
refused "has no option --shape" "$gaussians" generate ring-whole --shape grid
refused "was made with ring" "$gaussians" train --out ring-parts --resume --steps 9 --shape grid
refused "was made with original" "$gaussians" train --out original-parts --resume --steps 9 --recipe none
sed 's/"shape":.*/"shape": "star",/' ring-whole/config.json >ring-parts/config.json
refused '"shape" is not grid|ring' "$gaussians" generate ring-parts
[ ! -e x ] || fail "a run that could not start left a folder"

# --- a critic of several batches a step ---
resumes critic "$wgan_gp" --width 2 --batch 2 --d-steps 2
resumes bare "$wgan_gp" --width 2 --batch 2 --d-steps 1 --norm none
refused "k·2ⁿ" "$wgan_gp" train --size 30 --out x
ok "$wgan_gp" generate critic-whole --count 4 --output critic.png
ok "$wgan_gp" bench --width 2 --batch 2 --d-steps 1 --steps 1

verdict
