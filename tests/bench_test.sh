#!/bin/sh
# The bench program on one tiny workload: its JSON, its trace, and what bench/run makes of them, with PyTorch or without.
# usage: bench_test.sh VKGAN-BENCH
set -eu
bench=$(realpath "$1")
root=$(dirname "$(dirname "$(realpath "$0")")")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export VKGAN_CACHE_DIR="$folder/cache"
tiny=dcgan-28-1-w4-b4

"$bench" profile $tiny "$folder/trace.json" >"$folder/profile"
"$bench" list >"$folder/list"
grep -qx pix2pix-256 "$folder/list"
if "$bench" time nothing 2>"$folder/err"; then echo "a workload that is not there was measured"; exit 1; fi
grep -q "nothing is no workload" "$folder/err"

for precision in bf16 fp16; do
    echo | "$bench" time $tiny-$precision | tail -n 1 | grep -q '^{"seconds": [0-9.]*}$'
done

mkdir -p "$folder/build/bench"
ln -s "$bench" "$folder/build/bench/vkgan-bench"
"$root/bench/run" --no-install --build "$folder/build" --only $tiny --quick --pairs 2 --out "$folder/out" >/dev/null 2>"$folder/err" ||
    { cat "$folder/err"; exit 1; }

python3 - "$folder" <<'END'
import json, sys
folder = sys.argv[1]
events = json.load(open(folder + "/trace.json"))["traceEvents"]
assert len(events) > 20, "a training step has more dispatches"
assert all(e["ph"] == "X" and e["dur"] >= 0 and e["name"] for e in events)
starts = [e["ts"] for e in events]
assert starts == sorted(starts), "dispatches are in the order of execution"
assert any(float(e["args"]["flops"]) > 0 for e in events)
table = open(folder + "/profile").read().splitlines()
assert sum(int(line.split()[2]) for line in table[2:-1]) == len(events), "the table counts every dispatch"
row, = json.load(open(folder + "/out/bench.json"))["rows"]
ours = row["vkgan"]
assert ours["workload"] == "dcgan-28-1-w4-b4" and ours["pairs"] == 2
assert 0 < ours["min"] <= ours["median"] <= ours["max"] and ours["start_up"] > 0
assert ours["dispatches"] == len(events) and ours["planned_bytes"] > 0 and ours["flops"] > 0
assert (row["ratio"] or 0) > 0 or row["best"]["error"], "a ratio, or why there is none"
lines = open(folder + "/out/bench.md").read().splitlines()
assert "dcgan-28-1-w4-b4" in lines[4] and lines[4].count("|") == lines[2].count("|")
END
