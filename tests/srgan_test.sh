#!/bin/bash
# SRGAN as a program: phases, pictures of any size, what it refuses. usage: srgan_test.sh SRGAN REFERENCES
set -u
srgan=$(realpath "$1")
vgg=$(realpath "$2")/srgan-vgg.safetensors # it holds a small VGG too
. "$(dirname "$(realpath "$0")")/programs.sh"

# --- pictures: 6 to learn from, of several sizes, and two to enlarge ---
python3 - <<'PYTHON'
import os, struct, zlib

def png(path, height, width):
    rows = b"".join(b"\0" + bytes((x * y // (3 + c) + 40 * c + 7 * x) & 255 for x in range(width) for c in range(3))
                    for y in range(height))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                           chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

os.makedirs("train/more")
os.makedirs("test/below")
for i in range(5):
    png(f"train/{i}.png", 40 + i, 50 - i)
png("train/more/5.png", 64, 40)
png("test/wide.png", 45, 150)
png("test/below/small.png", 17, 13)
PYTHON

small=(train --width 4 --blocks 1 --crop 32 --batch 2)
tiny=(--plain --skip --ends 3)

# --- the end of the pre-training is between steps 1 and 2, and between 2 and 3: on either side of what resuming loads ---
resumes before "$srgan" "${small[@]}" --pretrain 1
resumes at "$srgan" "${small[@]}" --pretrain 2 --log-every 1
resumes behind "$srgan" "${small[@]}" --pretrain 3 --factor 2
resumes tiny "$srgan" "${small[@]}" "${tiny[@]}" --pretrain 2
resumes vgg "$srgan" "${small[@]}" --pretrain 2 --vgg "$vgg"
cmp -s "$(newest at-whole 4)" "$(newest vgg-whole 4)" && fail "--vgg changes nothing"
python3 - <<'PYTHON' || fail "log.jsonl does not say which phase ran"
import json
lines = [json.loads(line) for line in open("at-whole/log.jsonl")]
told = [set(line) & {"mse", "loss_d", "content"} for line in lines if "mse" in line]
assert told == 2 * [{"mse"}] + 2 * [{"mse", "loss_d", "content"}], told
PYTHON
python3 -c 'import sys; data = open(sys.argv[1], "rb").read(); assert b"exp_avg.generator.generator.conv1.weight" in data and b"features.2" not in data.replace(b"discriminator.features.2", b"")' \
    "$(newest vgg-whole 4)" || fail "the adversarial phase has no moments of its own, or VGG is in the checkpoint"

# --- weights that no phase trains yet may stand still; all looked at after 10 steps and after 120 ---
ok "$srgan" train "${small[@]}" "${tiny[@]}" --out still --steps 120 --sample-every 60 --pretrain 1000
ok "$srgan" train "${small[@]}" "${tiny[@]}" --out stuck --steps 120 --sample-every 60 --pretrain 0 --optimizer sgd --lr-d 1e-9
python3 - <<'PYTHON' || fail "weights stand still and nobody says so, or it is said of those that are not trained yet"
import json
for run, networks in ("still", set()), ("stuck", {"discriminator"}):
    lines = [json.loads(line) for line in open(run + "/log.jsonl")]
    told = {network for line in lines if line.get("rule") == "weights-stand-still"
            for network in ("generator", "discriminator") if network in line["warning"]}
    assert told == networks, (run, told)
    assert any("update_generator" in line for line in lines) and any("update_discriminator" in line for line in lines) == bool(networks)
PYTHON

# --- upscale ---
size() { python3 -c 'import struct, sys; print(*struct.unpack(">II", open(sys.argv[1], "rb").read(24)[16:]))' "$1"; }
ok "$srgan" upscale test --run at-whole --output large
[ "$(size large/wide.png)" = "600 180" ] || fail "×4 of 150×45 is $(size large/wide.png)"
[ "$(size large/below-small.png)" = "52 68" ] || fail "×4 of 13×17 is $(size large/below-small.png)"
ok "$srgan" upscale test/wide.png --run behind-whole --output twice
[ "$(size twice/wide.png)" = "300 90" ] || fail "×2 of 150×45 is $(size twice/wide.png)"

# --- folders become a part of names: two that would be one ---
mkdir -p one/a
cp test/wide.png one/a/b.png
cp test/wide.png one/a-b.png
refused "would both be called a-b.png" "$srgan" upscale one --run at-whole --output large
ok "$srgan" evaluate one --run at-whole

# --- the same part by part: off by one at most, where rounding says so ---
ok "$srgan" upscale test/wide.png --run at-whole --tile 400 --output whole
ok "$srgan" upscale test/wide.png --run at-whole --tile 32 --output parts
python3 - <<'PYTHON' || fail "parts leave seams"
import struct, zlib

def rows(path):
    data, at, pixels = open(path, "rb").read(), 8, b""
    width, height = struct.unpack(">II", data[16:24])
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        pixels += data[at + 8:at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    raw, stride, last, out = zlib.decompress(pixels), 3 * width, bytes(3 * width), []
    for y in range(height):
        kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for x in range(stride):
            a, b, c = line[x - 3] if x >= 3 else 0, last[x], last[x - 3] if x >= 3 else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[x] = (line[x] + (0, a, b, (a + b) // 2, paeth)[kind]) & 255
        out.append(bytes(line))
        last = line
    return b"".join(out)

a, b = rows("whole/wide.png"), rows("parts/wide.png")
assert len(a) == len(b) == 600 * 180 * 3 and max(abs(x - y) for x, y in zip(a, b)) <= 1
PYTHON

# --- evaluate ---
ok "$srgan" evaluate test/wide.png --run tiny-whole
grep -q '^mean .*[0-9]$' out || { fail "evaluate prints no mean"; cat out; }
ok "$srgan" bench "${small[@]:1}" --channels 3 --pretrain 0 --steps 1

# --- bench tells of the step that it timed: of the generator alone by default ---
gflop() { python3 -c 'import json; print(json.load(open("out"))["gflop_per_step"])'; }
ok "$srgan" bench "${small[@]:1}" --channels 3 --steps 1 --json
alone=$(gflop)
ok "$srgan" bench "${small[@]:1}" --channels 3 --steps 1 --json --pretrain 0
python3 -c 'import sys; assert 0 < 1.5 * float(sys.argv[1]) < float(sys.argv[2]), sys.argv' "$alone" "$(gflop)" ||
    fail "bench has the work of one step and the time of another"

# --- options of all programs that its phases heed, and those that they would not ---
resumes twice "$srgan" "${small[@]}" --pretrain 1 --d-steps 2
cmp -s "$(newest before-whole 4)" "$(newest twice-whole 4)" && fail "--d-steps changes nothing"
ok "$srgan" train "${small[@]}" --pretrain 0 --loss relativistic --out pairs --steps 1
ok "$srgan" train --help
for option in size gradient-penalty r1 r2 dragan reg-every consistency augment history balance accumulate; do
    grep -q -- "--$option " out && fail "--help lists --$option"
    refused "train has no option --$option" "$srgan" train "${small[@]}" "--$option=1" --out x
done
refused "bench has no option --size" "$srgan" bench --size 40
refused "evaluate has no option --output" "$srgan" evaluate test --output x
refused "upscale has no option --seed" "$srgan" upscale test --seed 1

# --- words ---
refused "--factor 3" "$srgan" train "${small[@]}" --crop 33 --factor 3 --out x
refused "upscale needs --output DIR" "$srgan" upscale nowhere --run nothing
refused "nowhere: cannot be opened" "$srgan" upscale nowhere --run at-whole --output x
refused "parts of 20 with a reach of 10" "$srgan" upscale test --run at-whole --output x --tile 20
[ "$("$srgan" train "${small[@]}" --pretrain 0 --vgg train/0.png --out y 2>&1 | grep -c 'cannot be read as weights of VGG')" -ge 1 ] ||
    fail "a picture passes for weights of VGG"
[ ! -e x/checkpoints ] || fail "a run that could not start left a folder"

verdict
