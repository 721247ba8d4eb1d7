#!/bin/bash
# `evaluate`, and `train --evaluate-every`, from end to end. usage: evaluate_test.sh PROGRAM
set -u
program=$(realpath "$1")
. "$(dirname "$(realpath "$0")")/programs.sh"

# scores LINE_OR_FILE : the seven scores, one a line
scores() {
    python3 -c '
import json, sys
text = sys.stdin.read()
read = json.loads(text)
for name in ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"):
    print(name, "%.6g" % read[name])'
}

train=("$program" train --width 4 --batch 8 --latent 8 --evaluate-every 10 --evaluate-count 200 --checkpoint-every 10)

# --- in training: logged, repeatable, the best is kept, also when the run is resumed ---
ok "${train[@]}" --out whole --steps 30
[ "$(grep -c frechet_distance whole/log.jsonl)" = 3 ] || fail "not three evaluations in the log"
best=$(grep frechet_distance whole/log.jsonl | sed 's/.*"step": \([0-9]*\), "frechet_distance": \([0-9.]*\).*/\2 \1/' | sort -g |
       head -1 | cut -d' ' -f2)
cmp -s whole/checkpoints/best.safetensors "whole/checkpoints/step-0000$best.safetensors" || fail "best is not that of step $best"
ok "${train[@]}" --out parts --steps 15
ok "$program" train --resume --out parts --steps 30
grep frechet_distance whole/log.jsonl >a
grep frechet_distance parts/log.jsonl >b
cmp -s a b || { fail "a resumed run is evaluated otherwise"; cat a b; }
cmp -s whole/checkpoints/best.safetensors parts/checkpoints/best.safetensors || fail "a resumed run kept another checkpoint"
refused "cannot change" "$program" train --resume --out parts --steps 40 --evaluate-count 300
ok "$program" train --resume --out parts --steps 35 --evaluate-every 0
[ "$(grep -c frechet_distance parts/log.jsonl)" = 3 ] || fail "--evaluate-every 0 evaluates"

# --- the command says the same, of the run, its checkpoint, and of the samples as a file ---
tail -1 a | scores >logged
for target in whole whole/checkpoints/step-000030.safetensors; do
    ok "$program" evaluate $target --count 200 --json
    scores <out >found
    cmp -s logged found || { fail "evaluate $target"; cat logged found; }
done
ok "$program" generate whole --count 200 --output samples.npy
/usr/bin/python3 - <<'PYTHON'
import numpy as np
samples = np.load("samples.npy")
np.save("floats.npy", samples.astype(np.float32) / np.float32(127.5) - 1)
np.save("few.npy", samples[:5])
np.save("flat.npy", samples[..., 0])
np.save("colour.npy", samples.repeat(3, -1))
np.save("wide.npy", samples[:, :20])
PYTHON
for file in samples.npy floats.npy flat.npy; do
    ok "$program" evaluate $file --json
    scores <out >found
    cmp -s logged found || { fail "evaluate $file"; cat logged found; }
done
ok "$program" evaluate whole --count 200 --seed 2 --json
scores <out >found
cmp -s logged found && fail "another seed has the same scores"
ok "$program" evaluate whole --count 200
grep -q "200, of whole/checkpoints/step-000030.safetensors, seed 1" out || { fail "does not say what was measured"; cat out; }
grep -q "Fréchet distance *$(grep frechet logged | cut -d' ' -f2)" out || { fail "does not print the distance"; cat out logged; }

# --- real images score as real ones ---
/usr/bin/python3 - <<'PYTHON'
import gzip, numpy as np
data = gzip.open("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz").read()
np.save("real.npy", np.frombuffer(data, np.uint8)[16:].reshape(-1, 28, 28, 1)[:1000])
PYTHON
ok "$program" evaluate real.npy --json
scores <out | awk '{v[$1] = $2} END {exit !(v["frechet_distance"] < 5 && v["precision"] > 0.7 && v["recall"] > 0.7 && v["coverage"] > 0.8)}' ||
    { fail "the test images are told from the training images"; cat out; }

# --- what cannot be ---
refused "needs a run folder" "$program" evaluate
refused "nothing-here" "$program" evaluate nothing-here
refused "nothing.npy" "$program" evaluate nothing.npy
refused "nothing.safetensors" "$program" evaluate whole --count 50 --features nothing.safetensors
refused "no feature network that is known" "$program" evaluate whole --count 50 --features whole/checkpoints/best.safetensors
refused "28×28" "$program" evaluate colour.npy
refused "20×28×1" "$program" evaluate wide.npy
refused "fewer than --count 300" "$program" evaluate samples.npy --count 300
refused "at least 6" "$program" evaluate few.npy
refused "nothing-there" "$program" evaluate samples.npy --data nothing-there
refused "nothing.safetensors" "${train[@]}" --out x --steps 2 --features nothing.safetensors
[ ! -e x ] || fail "a run that could not start left a folder"

verdict
