#!/bin/sh
# The shared library exports vkg_* alone, and every public header compiles by itself, as C and as C++.
# usage: exports_test.sh LIBRARY INCLUDE_FOLDER
set -eu
others=$(nm -D --defined-only "$1" | awk '{print $3}' | grep -v '^vkg_' || true)
[ -z "$others" ] || { echo "exported besides vkg_*: $others"; exit 1; }
nm -D --defined-only "$1" | grep -q ' vkg_trainer_step$'
for header in "$2"/vkgan/*.h; do
    cc -std=c99 -Wall -Wextra -Wpedantic -Werror -I "$2" -fsyntax-only -x c "$header"
    c++ -std=c++20 -Wall -Wextra -Werror -I "$2" -fsyntax-only -x c++ "$header"
done
