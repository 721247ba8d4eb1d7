#!/bin/sh
# The README's program is one that the compiler takes without a warning. usage: readme_test.sh SOURCE_FOLDER
set -eu
program=$(sed -n '/^```c$/,/^```$/{/^```/d;p;}' "$1/README.md")
[ -n "$program" ]
printf '%s\n' "$program" | cc -std=c11 -Wall -Werror -fsyntax-only -I"$1/include" -x c -
