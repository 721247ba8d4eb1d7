#!/bin/sh
# The SPIR-V in shaders/prebuilt is that of the GLSL beside it. Everywhere: sources and binaries have the recorded hashes.
# Where a glslc knows the extensions (VKGAN_COOPMAT_GLSLC, else that on PATH): the sources build, and where it is the
# recorded version, to the same bytes.
# usage: prebuilt_test.sh SOURCE_FOLDER
set -eu
shaders=$1/shaders
if ! (cd "$shaders" && sha256sum --check --quiet prebuilt/sources.sha256 &&
      cd prebuilt && sha256sum --check --quiet binaries.sha256); then
    echo "shaders/prebuilt is not what shaders/conv_coopmat.comp and attention_coopmat.comp say: run tools/build-coopmat-shaders" >&2
    exit 1
fi
glslc=${VKGAN_COOPMAT_GLSLC:-glslc}
output=$(mktemp -d)
trap 'rm -r "$output"' EXIT
# shellcheck disable=SC2086 # a command with its arguments
if ! "$1/tools/build-coopmat-shaders" --output "$output" $glslc 2>"$output/errors"; then
    [ -z "${VKGAN_COOPMAT_GLSLC:-}" ] || { cat "$output/errors" >&2; exit 1; }
    echo "glslc is too old to build the sources again: only hashes were compared"
    exit 0
fi
if ! cmp -s "$output/glslc-version" "$shaders/prebuilt/glslc-version"; then
    echo "glslc is of another version than the recorded one: the sources build, bytes were not compared"
    exit 0
fi
for binary in "$shaders"/prebuilt/*.spv; do
    cmp "$binary" "$output/$(basename "$binary")"
done
echo "built again, the same bytes"
