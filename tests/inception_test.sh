#!/bin/sh
# Inception with fresh weights against PyTorch; skipped where PyTorch is missing. usage: inception_test.sh PROGRAM SCRIPT
set -eu
/usr/bin/python3 -c 'import torch' 2>/dev/null || exit 77
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
/usr/bin/python3 "$2" "$folder/weights.safetensors" "$folder/case.safetensors"
"$1" "$folder/weights.safetensors" "$folder/case.safetensors"
