#!/bin/bash
# The classifier trains and writes what it says; the weights in the library are as good as is said of them.
# usage: classifier_test.sh PROGRAM WEIGHTS
set -u
program=$(realpath "$1")
weights=$(realpath "$2")
. "$(dirname "$(realpath "$0")")/programs.sh"

"$program" --check "$weights" >out 2>err || { fail "--check"; cat err; }
awk '/of the test images right/ {found = $1 >= 90} END {exit !found}' out || { fail "less than 90 %"; cat out; }

# the first 640 training images, and 256 of the test images
python3 - <<'PYTHON'
import gzip, struct
def cut(source, target, count):
    base = "/usr/share/datasets/fashion-mnist/"
    for kind, offset, size in (("images-idx3", 16, 784), ("labels-idx1", 8, 1)):
        data = gzip.open(f"{base}{source}-{kind}-ubyte.gz").read()
        open(f"{target}-{kind}-ubyte", "wb").write(data[:4] + struct.pack(">I", count) + data[8:offset + count * size])
cut("train", "some", 640)
cut("t10k", "others", 256)
PYTHON
small=(--data some-images-idx3-ubyte --test others-images-idx3-ubyte --epochs 2)
"$program" "${small[@]}" --output a.safetensors >out 2>err || { fail "training"; cat err; }
awk '/epoch/ {loss[++n] = $6 + 0} END {exit !(n == 2 && loss[2] < loss[1])}' out || { fail "the loss does not fall"; cat out; }
"$program" "${small[@]}" --output b.safetensors >out 2>err || { fail "training again"; cat err; }
cmp -s a.safetensors b.safetensors || fail "the same seed gave other weights"
"$program" --test others-images-idx3-ubyte --check a.safetensors >again 2>err || { fail "--check"; cat err; }
[ "$(grep -o '[0-9.]* %' again)" = "$(grep -o '[0-9.]* %' out | tail -1)" ] || { fail "another accuracy"; cat out again; }
"$program" --check nothing.safetensors >out 2>err && fail "weights that are not there"
grep -q nothing.safetensors err || fail "does not name the file that is not there"
"$program" --epoch 3 >out 2>err
[ $? = 2 ] || fail "an unknown option"
"$program" --seed 1x >out 2>err
[ $? = 2 ] || fail "a seed that is no number"
"$program" --check a.safetensors --epochs 3 >out 2>err
[ $? = 2 ] || fail "an option that --check does not heed"
"$program" --help >out 2>err && grep -q usage out || fail "--help"

verdict
