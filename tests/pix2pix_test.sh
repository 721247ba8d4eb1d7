#!/bin/bash
# Pix2Pix as a program: pairs of every kind, translation of any size, measures of held-out pairs. usage: pix2pix_test.sh PIX2PIX
set -u
pix2pix=$(realpath "$1")
. "$(dirname "$(realpath "$0")")/programs.sh"

# size FILE WIDTH HEIGHT TYPE: of a PNG; 0 grey, 2 colour
size() {
    python3 -c 'import struct, sys; d = open(sys.argv[1], "rb").read(); assert [*struct.unpack(">II", d[16:24]), d[25]] == [*map(int, sys.argv[2:])]' \
        "$@" || fail "$1 is not $2×$3 of type $4"
}

# both/: side by side; input/ and target/: the same in two folders; test/: others; odd/: of other sizes
python3 - <<'PYTHON' || exit 1
import os, random, struct, zlib
def save(path, rows, colour):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    width = len(rows[0]) // (3 if colour else 1)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), 8, 2 if colour else 0, 0, 0, 0)))
        file.write(chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))) + chunk(b"IEND", b""))
random.seed(1)
def pair(side, at): # no two inputs are the same
    colour = [random.randrange(256) for _ in range(3)]
    inside = lambda x: abs(x - at) < side // 4
    return ([[c for x in range(side) for c in ([255] * 3 if inside(x) else [0] * 3)] for _ in range(side)],
            [[c for x in range(side) for c in (colour if inside(x) else [40] * 3)] for _ in range(side)])
for i in range(16):
    a, b = pair(20, i)
    folder = "both" if i < 12 else "test"
    save(f"{folder}/{i:02}.png", [x + y for x, y in zip(a, b)], True)
    save(f"input/{i:02}.png", a, True)
    if i < 12:
        save(f"target/{i:02}.png", b, True)
save("odd/deep/small.png", [[200] * 37 * 3] * 21, True)
save("odd/grey.png", [[100] * 50] * 33, False)
PYTHON

small=(--size 16 --width 4 --batch 2 --d-layers 2)

# --- training on every kind of pairs ---
resumes pix2pix "$pix2pix" both "${small[@]}"
resumes batch "$pix2pix" both "${small[@]}" --norm batch --loss least-squares --ema 0.9 --pairs right
resumes folders "$pix2pix" target "${small[@]}" --pairs input
resumes edges "$pix2pix" target "${small[@]}" --input edges --jitter 0 --mirror no --levels 2 --loss hinge --r1 0.1
ok "$pix2pix" train target "${small[@]}" --input blocks --block 4 --out blocks --steps 1
ok "$pix2pix" train --width 4 --levels 2 --d-layers 2 --input edges --out fashion --steps 1 # of Fashion-MNIST, whole
cmp -s "$(newest pix2pix-whole 4)" "$(newest folders-whole 4)" || fail "pairs in one image and in two folders are not the same"
grep -q '"input_channels":.*1' edges-whole/config.json || fail "config.json does not tell the inputs of edges"
size pix2pix-whole/samples/step-000004.png 110 74 2
size fashion/samples/step-000001.png 182 122 0
! grep -q mode pix2pix-whole/log.jsonl || fail "different pictures were taken for few"

# --- translating: any size, deterministic, inputs or what train saw ---
ok "$pix2pix" translate odd --run pix2pix-whole --output there
size there/deep/small.png 37 21 2
size there/grey.png 50 33 2
ok "$pix2pix" translate odd/deep/small.png --run pix2pix-whole --output one.png
cmp -s one.png there/deep/small.png || fail "an image alone is translated to another"
ok "$pix2pix" translate odd/deep/small.png --run pix2pix-whole --seed 2 --output other.png
cmp -s one.png other.png && fail "chance changes nothing: there is no dropout"
ok "$pix2pix" translate odd/deep/small.png --run edges-whole
size translated.png 37 21 2
for count in 1 2; do # images that are no files have no names
    mkdir nameless$count
    python3 -c "import struct, sys; sys.stdout.buffer.write(struct.pack('>4I', 0x803, $count, 16, 16) + bytes(256 * $count))" \
        >nameless$count/train-images-idx3-ubyte
done
ok "$pix2pix" translate nameless1 --run pix2pix-whole --output named
size named/picture.png 16 16 2
refused "its 2 images have no names" "$pix2pix" translate nameless2 --run pix2pix-whole --output named
ok "$pix2pix" translate test --run pix2pix-whole --as-trained --output of-pairs
ok "$pix2pix" translate input --run pix2pix-whole --output of-inputs
for i in 12 15; do
    cmp -s of-pairs/$i.png of-inputs/$i.png || fail "a half of an image is not the input that it is"
done
refused "they are what is translated" "$pix2pix" translate input --run folders-whole --as-trained
refused "translate needs an image" "$pix2pix" translate --run pix2pix-whole
refused "no such run" "$pix2pix" translate odd --run nowhere

# --- results of one name would overwrite one another, and which of two inputs is the partner? ---
mkdir twins
cp odd/grey.png twins/a.png
cp odd/grey.png twins/a.jpg # what a file is, its first bytes say
refused "a.jpg and of a.png would both be called a.png" "$pix2pix" translate twins --run edges-whole --output twice
[ ! -e twice ] || fail "translate began what it could not end"
refused "have the same name but for the ending" "$pix2pix" train twins "${small[@]}" --pairs input --out x

# --- evaluating: a pair of the training set is its own nearest, whatever the network makes of it ---
ok "$pix2pix" evaluate pix2pix-whole --data test --output rows.png
grep -q "the nearest training pair" out || { fail "evaluate compares with nothing"; cat out; }
size rows.png 56 74 2
ok "$pix2pix" evaluate pix2pix-whole --data both --json
python3 - out <<'PYTHON' || fail "evaluate's numbers are not what they should be"
import json, sys
found = json.load(open(sys.argv[1]))
nearest = found["nearest_training_pair"]
assert found["pairs"] == 12 and nearest["l1"] == 0 and nearest["psnr"] is None and abs(nearest["ssim"] - 1) < 1e-5, found
assert 0 < found["made"]["l1"] < 2 and 0 < found["input_copied"]["l1"] < 2 and found["made"] != found["input_copied"], found
PYTHON
ok "$pix2pix" evaluate edges-whole --data target --count 3 --json
grep -q '"pairs":.*3' out || fail "--count is not heeded"
refused "evaluate needs a run folder" "$pix2pix" evaluate pix2pix-whole
ok "$pix2pix" bench "${small[@]}" --channels 3 --steps 1
ok "$pix2pix" bench "${small[@]}" --input edges --steps 1

# --- words ---
refused "two pictures side by side" "$pix2pix" train odd/deep --size 16 --out x
refused "--size N makes them one" "$pix2pix" train odd --input grey --out x
refused "sides of 24 and more" "$pix2pix" train both --size 16 --d-layers 3 --out x
ok "$pix2pix" bench --size 24 --width 4 --d-layers 3 --steps 1
refused "halved 2 times" "$pix2pix" train both --size 20 --levels 3 --out x
refused "there is no command" "$pix2pix" generate pix2pix-whole
refused "has no option --latent" "$pix2pix" train both --latent 3 --out x
refused "was made with right" "$pix2pix" train --out batch-parts --resume --steps 9 --pairs left
[ ! -e x ] || fail "a run that could not start left a folder"

verdict
