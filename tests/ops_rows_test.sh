#!/bin/sh
# Every operation of the public headers has a row in the table of tests, and every row has cases in the generator.
# usage: ops_rows_test.sh OPS_TEST INCLUDE_FOLDER GENERATOR
set -eu
ops_test=$1 include=$2 generator=$3

# Without a row, and why:
#   random_*, dropout: no value to compare; random_test counts what they draw
exceptions="random_truncated_normal random_bernoulli random_permutation dropout"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$ops_test" --list | sort >"$folder/rows"
cat "$include/vkgan/ops.h" "$include/vkgan/resample.h" |
    sed -n 's/^VKG_API .*[ *]vkg_\([a-z0-9_]*\)(.*/\1/p' | sort -u >"$folder/functions"
[ "$(wc -l <"$folder/functions")" -ge 100 ] || { echo "the headers are not read rightly"; exit 1; }
bad=0
while read -r name; do
    case " $exceptions " in *" $name "*) continue ;; esac
    grep -qx "$name" "$folder/rows" || { echo "vkg_$name has no row in tests/ops_rows*.c"; bad=1; }
done <"$folder/functions"
for name in $exceptions; do
    grep -qx "$name" "$folder/functions" || { echo "$name: an exception that is no operation"; bad=1; }
done
# rows.py register with row("name", and functions that do so for several; what PyTorch's side lacks fails in ops_fresh.sh
while read -r name; do
    grep -qh "\"$name\"" "$(dirname "$generator")"/rows_*.py && continue
    case $name in convolution*) continue ;; esac # their names are put together
    echo "row $name has no cases in tests/reference/rows_*.py"
    bad=1
done <"$folder/rows"
exit $bad
