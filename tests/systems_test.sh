#!/bin/bash
# R3GAN, SAGAN and StyleGAN2 as programs. usage: systems_test.sh R3GAN SAGAN STYLEGAN2
set -u
r3gan=$(realpath "$1")
sagan=$(realpath "$2")
stylegan2=$(realpath "$3")
. "$(dirname "$(realpath "$0")")/programs.sh"

small=(--width 8 --latent 8 --batch 4)

resumes r3gan "$r3gan" "${small[@]}"
ok "$r3gan" generate r3gan-whole --count 4 --output r3gan.png
ok "$r3gan" bench "${small[@]}" --steps 1
refused "--width 12 is no multiple of 8" "$r3gan" train --width 12 --out x
refused "k·2ⁿ" "$r3gan" train --size 36 --out x

# --- classes ---
resumes sagan "$sagan" "${small[@]}"
grep -q '"classes":.*10' sagan-whole/config.json || fail "config.json does not say how many classes there are"
ok "$sagan" generate sagan-whole --count 20 --output classes.npy
ok "$sagan" generate sagan-whole --count 20 --class 3 --output three.npy
python3 - <<'PYTHON' || fail "--class draws other images than those of this class, or the same of all"
data = [open(name, "rb").read()[-20 * 784:] for name in ("classes.npy", "three.npy")]
image = lambda of, i: data[of][784 * i:784 * (i + 1)]
assert image(0, 3) == image(1, 3) and image(0, 13) == image(1, 13)
assert image(0, 4) != image(1, 4)
PYTHON
refused "8, 12, or k·2ⁿ with k from 4 to 7 and n from 2 to 8" "$sagan" train --size 10 --out x
refused "images of 14×14" "$sagan" bench "${small[@]}" --size 14
for size in 8 12 20; do ok "$sagan" bench "${small[@]}" --size $size --steps 1; done
refused "does not know their classes" "$sagan" bench "${small[@]}" --history 16
refused "the run knows 10 classes" "$sagan" generate sagan-whole --class 10
refused "has no option --class" "$r3gan" generate r3gan-whole --class 1
ok "$sagan" bench "${small[@]}" --steps 1

# --- styles ---
resumes stylegan2 "$stylegan2" "${small[@]}"
# R1 is a part of every 16th step; those after the third are timed
for r1 in 0 10; do
    ok "$stylegan2" bench "${small[@]}" --steps 1 --r1 $r1 --json
    mv out bench-$r1.json
done
python3 -c 'import json; a, b = (json.load(open(f"bench-{r1}.json"))["gflop_per_step"] for r1 in (0, 10)); assert a == b > 0, (a, b)' ||
    fail "bench has the work of one step and the time of another"
for psi in 0 0.5 1; do
    ok "$stylegan2" generate stylegan2-whole --count 2 --truncation $psi --output $psi.npy
done
python3 - <<'PYTHON' || fail "--truncation 0 is not the mean image, or changes nothing"
mean, half, all = (open(name, "rb").read()[-2 * 784:] for name in ("0.npy", "0.5.npy", "1.npy"))
assert mean[:784] == mean[784:] and half != all and all[:784] != all[784:]
PYTHON
ok "$stylegan2" film --run stylegan2-whole --truncation 0.7
ok "$stylegan2" mix --run stylegan2-whole --crossover 2 --output mixed.png
for file in film.png mixed.png; do
    python3 -c 'import struct, sys; assert struct.unpack(">II", open(sys.argv[1], "rb").read(24)[16:]) == tuple(map(int, sys.argv[2:]))' \
        $file $([ $file = film.png ] && echo 272 122 || echo 182 182) || fail "$file is not as large as it should be"
done
refused "has no option --crossover" "$stylegan2" film --run stylegan2-whole --crossover 2
refused "no such run" "$stylegan2" mix --run nowhere
[ ! -e x ] || fail "a run that could not start left a folder"

verdict
