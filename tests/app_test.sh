#!/bin/bash
# A sample program from end to end, on real data, with all that can go wrong. usage: app_test.sh PROGRAM
set -u
program=$(realpath "$1")
tests=$(dirname "$(realpath "$0")")
. "$tests/programs.sh"

train=("$program" train --width 4 --batch 8 --latent 8)

# --- training, resuming, seeds ---
ok "${train[@]}" --out whole --steps 8 --sample-every 4 --checkpoint-every 4 --log-every 2 --histogram-every 8
ok "${train[@]}" --out again --steps 8
ok "${train[@]}" --out parts --steps 5 --log-every 2
sed -i '/"precision"/d' parts/config.json # as earlier versions wrote it: float32
ok "$program" train --out parts --steps 8 --resume --log-every 2
refused "the run is at step 8 already" "$program" train --out parts --resume --steps 7
grep -q '"steps":.*8,' parts/config.json || fail "a run that was resumed for more steps is not one of so many"
ok "${train[@]}" --out other --steps 8 --seed 2
cmp -s "$(newest whole 8)" "$(newest again 8)" || fail "the same seed gave other bits"
cmp -s "$(newest whole 8)" "$(newest parts 8)" || fail "resuming changed the run"
cmp -s "$(newest whole 8)" "$(newest other 8)" && fail "another seed gave the same bits"
for file in config.json log.jsonl samples/step-000004.png samples/step-000008.png checkpoints/step-000004.safetensors; do
    [ -s whole/$file ] || fail "whole/$file is not there"
done
steps() { grep -c images_per_second "$1"/log.jsonl; } # lines of steps, not of measures
[ "$(steps whole)" = 4 ] || fail "whole/log.jsonl has not 4 lines"
[ "$(steps parts)" = 4 ] || fail "parts/log.jsonl has not 4 lines"
for key in step loss_d loss_g d_real d_fake images_per_second; do
    grep -q "\"$key\"" whole/log.jsonl || fail "log.jsonl does not say $key"
done
# what looks after a run: TensorBoard's file, measures of the samples, the report

ok python3 "$tests"/read_events.py whole/events.out.tfevents.*
for line in "session starts" "2 training/loss_d scalar" "8 training/d_fake scalar" "4 samples image 242x242x1" \
    "8 measures/variety scalar" "8 measures/distinct scalar" \
    "8 weights/generator.main.0.weight histogram" "8 updates/discriminator.main.0.weight histogram" \
    "8 gradients/generator.main.3.weight histogram"; do
    grep -q -- "$line" out || fail "the event file does not say $line"
done
[ "$(ls parts/events.out.tfevents.* | wc -l)" = 2 ] || fail "a resumed run has not two event files"
ok python3 "$tests"/read_events.py "$(ls parts/events.out.tfevents.* | tail -1)"
grep -q "^6 session starts" out || fail "the second event file does not say where it begins"
ok python3 "$tests"/check_report.py whole/report.html
for line in "state: done" "pictures: 4 8" "last: 8"; do grep -q -- "$line" out || fail "whole/report.html does not say $line"; done
rm whole/report.html
ok "$program" report whole
[ -s whole/report.html ] || fail "report wrote no report.html"
refused "config.json" "$program" report nowhere
[ -z "$(find . -name '*.tmp*' -o -name '.*.safetensors*')" ] || fail "temporary files were left"

# --- an interrupt saves and says how to go on ---
"${train[@]}" --out stopped --steps 100000 --log-every 1 >out 2>err &
running=$!
for ((i = 0; i < 600; i++)); do [ -s stopped/log.jsonl ] && break; sleep 0.1; done
kill -INT $running
wait $running
[ $? = 130 ] || fail "an interrupted run did not end with 130"
grep -q -- --resume out || fail "an interrupted run does not say how to go on"
[ -n "$(ls stopped/checkpoints)" ] || fail "an interrupted run saved nothing"

# --- killed: what it had saved is whole, and the run goes on from there to the same bits; nobody else went on with it before ---
"${train[@]}" --out killed --steps 100000 --checkpoint-every 3 --log-every 1 >out 2>err &
running=$!
for ((i = 0; i < 600; i++)); do [ -e "$(newest killed 3)" ] && break; sleep 0.1; done
refused "another process is writing there" "$program" train --out killed --resume --steps 8
kill -KILL $running
wait $running 2>/dev/null
touch killed/checkpoints/.vkgan-1-0.tmp killed/checkpoints/.vkgan-notes # a half-written file, and another's
find killed/checkpoints -name 'step-*' ! -name step-000003.safetensors -delete # how far it came is chance
ok "$program" train --out killed --resume --steps 8
cmp -s "$(newest whole 8)" "$(newest killed 8)" || fail "a killed run went on to other bits"
[ -e killed/checkpoints/.vkgan-notes ] && [ ! -e killed/checkpoints/.vkgan-1-0.tmp ] || fail "half-written files stayed, or others went"
[ "$(grep -c '"step": 4,.*loss_d' killed/log.jsonl)" = 1 ] || fail "a killed run logged a step twice, or never"

# --- ended before its first checkpoint: resuming begins anew, with the run's settings ---
cp -r whole early
rm early/checkpoints/*
ok "$program" train --out early --resume
cmp -s "$(newest whole 8)" "$(newest early 8)" || fail "a run that had no checkpoint went on to other bits"
[ "$(steps early)" = 4 ] || fail "a resumed run forgot --log-every, or kept old lines"
[ -e "$(newest early 4)" ] || fail "a resumed run forgot --checkpoint-every"

# --- a reader of the progress that goes away does not cost the run ---
"${train[@]}" --out piped --steps 8 2>err | true
cmp -s "$(newest whole 8)" "$(newest piped 8)" || fail "a closed pipe ended the run"

# --- training that breaks down: the message names the step and the value, no checkpoint is overwritten ---
# poison RUN TENSOR VALUE : writes the first number of a tensor of the run's checkpoint of step 8
poison() {
    cp -r whole "$1"
    python3 - "$(newest "$1" 8)" "$2" "$3" <<'PYTHON' || fail "the checkpoint could not be changed"
import json, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
size = struct.unpack("<Q", data[:8])[0]
begin = 8 + size + json.loads(data[8:8 + size])[sys.argv[2]]["data_offsets"][0]
data[begin:begin + 4] = struct.pack("<f", float(sys.argv[3]))
open(sys.argv[1], "wb").write(data)
PYTHON
}
poison loud discriminator.main.3.weight 3e38
refused "step 9: loss_d is" "$program" train --out loud --resume --steps 20
grep -q 'in phase "discriminator"' err || fail "a run that broke down does not name its phase"
ok python3 "$tests"/check_report.py loud/report.html
grep -q "state: broken down" out || fail "the report of a run that broke down does not say so"
poison quiet exp_avg_sq.generator.main.0.weight -1 # its root is no number
refused "broken down" "$program" train --out quiet --resume --steps 20
poison dead generator.main.0.weight nan
refused "no number" "$program" train --out dead --resume --steps 20
refused "no number" "$program" generate dead
for run in loud quiet dead; do
    [ "$(ls $run/checkpoints)" = "$(ls whole/checkpoints)" ] || fail "$run: a run that broke down saved a checkpoint"
done

# --- sampling ---
ok "$program" generate whole --count 5 --seed 3 --output five.png
ok "$program" generate "$(newest whole 4)" --count 5 --output five.npy
python3 - <<'PYTHON' || fail "the files that generate wrote are not what they should be"
import struct
data = open("five.npy", "rb").read()
assert data[:6] == b"\x93NUMPY" and b"'|u1'" in data[:128] and b"(5, 28, 28, 1)" in data[:128], data[:128]
assert len(data) - (10 + struct.unpack("<H", data[8:10])[0]) == 5 * 784
assert open("five.png", "rb").read(8) == b"\x89PNG\r\n\x1a\n"
PYTHON

# --- bench and devices ---
ok "$program" bench --width 4 --batch 4 --steps 2 --json
# the heap is the driver's too, which may grow a queue of its own; program_test counts what is ours
python3 -c 'import json; b = json.load(open("out")); assert b["images_per_second"] > 0 and b["host_bytes_allocated"] < 4096, b' ||
    fail "bench --json"
ok "$program" bench --width 4 --batch 2 --size 64 --channels 3 --steps 1
ok "$program" devices
ok "$program" --help
for command in train generate bench devices; do ok "$program" $command -h; done

# --- other data ---
python3 - <<'PYTHON'
import struct, zlib
def png(path, size, shade):
    rows = b"".join(b"\0" + bytes([shade, x * 7 % 256, y * 5 % 256][c] for x in range(size) for c in range(3)) for y in range(size))
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)) +
                           chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
import os
for folder, sizes in (("colours", [40] * 9), ("mixed", [40, 41])):
    os.mkdir(folder)
    for i, size in enumerate(sizes):
        png(f"{folder}/{i}.png", size, i * 20)
PYTHON
ok "${train[@]}" colours --out colour-run --size 32 --steps 2
# what is said of the data when a run begins is not said again when it goes on; what became of them meanwhile is
few() { [ "$(grep -c few-images colour-run/log.jsonl)" = 1 ] || fail "$1 does not say once that there are few images"; }
few "a new run"
ok "$program" train --out colour-run --resume --steps 3
[ ! -s err ] || { fail "a resumed run has something to say of the same data"; cat err; }
few "a resumed run"
cp colours/0.png colours/another.png
ok "$program" train --out colour-run --resume --steps 4
grep -q "colours holds 10 images now, and held 9" err || { fail "nobody says that there are more images than before"; cat err; }
ok "$program" train --out colour-run --resume --steps 5
[ ! -s err ] || { fail "that there are more images than once is said again"; cat err; }
rm colour-run/checkpoints/* colours/another.png
ok "$program" train --out colour-run --resume
few "a run that begins anew"
refused "k·2ⁿ" "${train[@]}" colours --out x --size 34 --steps 2
refused "mixed/1.png" "${train[@]}" mixed --out x --steps 2
head -c 1000 /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz >cut.gz
refused cut.gz "${train[@]}" cut.gz --out x --steps 2
printf '\0\0\10\7junk' >magic.idx
refused magic.idx "${train[@]}" magic.idx --out x --steps 2
refused nothing-here "${train[@]}" nothing-here --out x --steps 2

# --- words ---
refused "did you mean train" "$program" trian
refused "did you mean --steps" "$program" train --stepz 3
refused "expected a whole number" "$program" train --steps 1.5
refused "expected a number" "$program" train --lr -1
refused "needs a value" "$program" train --out
refused "expected DIR" "$program" train --out ""
refused "no option and no name" "$program" train ""
refused "no option and no name" "$program" train -steps 3
refused "expected a whole number" "$program" train --steps 0x10
refused "expected a number" "$program" train --lr nan
refused "one of these only" "$program" train a b
refused "must end in .png or .npy" "$program" generate whole --output x.jpg

# --- devices ---
refused nosuchdevice "${train[@]}" --out x --device nosuchdevice --steps 1
refused "expected" "${train[@]}" --out x --kernels fast --steps 1
refused "expected fp32|bf16|fp16" "${train[@]}" --out x --precision fp8 --steps 1
refused "no Vulkan device" env VK_DRIVER_FILES=/nonexistent VK_ICD_FILENAMES=/nonexistent "${train[@]}" --out x --steps 1
[ ! -e x ] || fail "a run that could not start left a folder"

# --- folders and checkpoints ---
refused "holds a run already" "${train[@]}" --out whole --steps 9
refused "cannot change" "$program" train --out whole --resume --steps 9 --width 6
refused "cannot change" "$program" train --out parts --resume --steps 9 --precision bf16
ok "${train[@]}" --out halves --steps 2 --log-every 1 --precision fp16
grep -q '"loss_scale"' halves/log.jsonl || fail "float16 is trained without scaled losses"
refused "larger number" "$program" train --out whole --resume --steps 8
refused "config.json" "$program" train --out nowhere --resume
: >file
refused "file" "${train[@]}" --out file/run --steps 1
cp -r whole cut-run
head -c 5000 "$(newest whole 8)" >"$(newest cut-run 8)"
refused "$(newest cut-run 8)" "$program" train --out cut-run --resume --steps 9
refused "$(newest cut-run 8)" "$program" generate cut-run
printf '\377\377\377\377\377\377\377\177{}' >"$(newest cut-run 8)"
refused "$(newest cut-run 8)" "$program" generate cut-run
cp -r whole no-config
echo '{"program": "dcgan", "width": "wide"}' >no-config/config.json
refused "config.json" "$program" generate no-config
sed 's/"width":.*/"width": 4.5,/' whole/config.json >no-config/config.json
refused '"width"' "$program" generate no-config
sed 's/"log-every":.*/"log-every": 0,/' whole/config.json >no-config/config.json
refused '"log-every"' "$program" train --out no-config --resume --steps 9

# --- settings of training: kept, and resuming goes on with them, batch by batch ---
critic=(--loss wasserstein --gradient-penalty 10 --d-steps 3 --lr-d 0.001 --beta1 0 --beta2 0.9)
ok "${train[@]}" "${critic[@]}" --out critic --steps 5 --log-every 1
ok "${train[@]}" "${critic[@]}" --out critic-parts --steps 3
ok "$program" train --out critic-parts --resume --steps 5
cmp -s "$(newest critic 5)" "$(newest critic-parts 5)" || fail "resuming a run of several batches a step changed it"
grep -q '"gradient_penalty"' critic/log.jsonl || fail "log.jsonl does not say gradient_penalty"
grep -q '"loss":.*"wasserstein"' critic/config.json || fail "config.json does not name the loss"
refused "--loss hinge: the run in critic/config.json was made with wasserstein" \
    "$program" train --out critic --resume --steps 9 --loss hinge
refused "--r1 0.1: the run" "$program" train --out critic --resume --steps 9 --r1 0.1
refused "expected non-saturating|minimax" "${train[@]}" --out x --loss best
toolbox=(--loss relativistic --r1 0.1 --r2 0.1 --reg-every 2 --augment ada --history 16 --optimizer adamw --weight-decay 0.01
    --clip-norm 1 --lr-schedule cosine --warmup 2 --balance 0.9 --accumulate 2 --ema 0.9)
ok "${train[@]}" "${toolbox[@]}" --out toolbox --steps 5 --lr-steps 10
ok "${train[@]}" "${toolbox[@]}" --out toolbox-parts --steps 3 --lr-steps 10
ok "$program" train --out toolbox-parts --resume --steps 5
cmp -s "$(newest toolbox 5)" "$(newest toolbox-parts 5)" || fail "resuming a run with the whole toolbox changed it"
ok "$program" generate toolbox --count 4 --output average.png
ok "${train[@]}" --lr-schedule linear --out falling --steps 2
grep -q '"lr-steps":.*2,' falling/config.json || fail "a schedule's length is not kept"
# --- images a second are those of all batches of a step: by them, no more time has passed than has ---
start=$(date +%s.%N)
ok "${train[@]}" --accumulate 32 --out accumulated --steps 6 --log-every 1
python3 - "$start" <<'PYTHON' || fail "accumulated batches are not counted"
import json, sys, time
lines = [json.loads(line) for line in open("accumulated/log.jsonl")]
rates = [line["images_per_second"] for line in lines if "images_per_second" in line]
assert len(rates) == 6 and sum(32 * 8 / rate for rate in rates) <= time.time() - float(sys.argv[1]), rates
PYTHON
ok "$program" bench --width 4 --batch 4 --accumulate 3 --steps 1 --json
python3 -c 'import json; b = json.load(open("out")); rate = 12000 / b["step_ms"]; assert abs(b["images_per_second"] - rate) < 0.06 + rate / 100, b' ||
    fail "bench does not count accumulated batches"
[ -s critic/film.png ] || fail "there is no film strip"

# --- a disk that is full: the run ends with a message, what was saved before stays whole ---
cp -r whole full
(
    ulimit -f 20 # KiB
    trap '' XFSZ
    refused "step-000009.safetensors" "$program" train --out full --resume --steps 9
    exit $failures
) || failures=$((failures + 1))
[ -z "$(find full -name '*000009*')" ] || fail "a full disk left half a checkpoint"
cmp -s "$(newest whole 8)" "$(newest full 8)" || fail "a full disk damaged an older checkpoint"

verdict
