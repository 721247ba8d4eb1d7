#!/bin/sh
# Fresh random cases of every operation, made by PyTorch, against vkgan. usage: ops_fresh.sh OPS_TEST GENERATOR OPTIONS...
# (such as --count 4).
# VKGAN_TEST_SEED repeats a run; it is printed. Without PyTorch (Debian's python3-torch) the test is skipped.
set -eu
ops_test=$1 generator=$2
shift 2
python=
for candidate in python3 /usr/bin/python3; do
    "$candidate" -c 'import torch' 2>/dev/null && python=$candidate && break
done
[ "$python" ] || { echo "SKIPPED: python3-torch is missing"; exit 77; }
VKGAN_TEST_SEED=${VKGAN_TEST_SEED:-$(date +%s)}
export VKGAN_TEST_SEED
echo "VKGAN_TEST_SEED=$VKGAN_TEST_SEED"
# every family its own shapes
case ${VKGAN_KERNELS:-} in texel) offset=1 ;; tiled) offset=2 ;; plain) offset=3 ;; *) offset=0 ;; esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" "$generator" --seed $((VKGAN_TEST_SEED * 4 + offset)) "$@" --out "$folder/ops.safetensors" \
    --only "$("$ops_test" --list | paste -sd, -)"
"$ops_test" "$folder/ops.safetensors"
