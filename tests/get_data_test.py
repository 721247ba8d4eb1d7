#!/usr/bin/python3
"""tools/get-data on small packages made here: what is laid out, what is held out, what is refused."""
import contextlib
import gzip
import hashlib
import io
import json
import pathlib
import sys
import tempfile
import unittest

try:
    import numpy as np
    from PIL import Image
except ImportError:
    sys.exit(77)  # meson: skipped

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
sys.dont_write_bytecode = True
import data_sets


def picture(path, width, height, seed=0, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = len(mode)
    ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] + 40 * np.arange(channels) + 9 * seed
    Image.fromarray(np.uint8(ramp % 256).squeeze(-1) if channels == 1 else np.uint8(ramp % 256), mode).save(path)


def debian(root, name):
    papers = root / name / "usr/share/doc" / name
    papers.mkdir(parents=True)
    (papers / "copyright").write_text(f"terms of {name}")
    return root / name / "usr/share"


def make_packages(root):
    fashion = debian(root, "dataset-fashion-mnist") / "datasets/fashion-mnist"
    fashion.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (fashion / f"{name}-ubyte.gz").write_bytes(gzip.compress(name.encode()))
    lomiri, mate = debian(root, "lomiri-wallpapers-16.04"), debian(root, "mate-backgrounds")
    for i in range(12):
        picture(lomiri / f"backgrounds/l{i}.jpg", 40 + i, 30, i)
        picture(mate / f"backgrounds/mate/nature/m{i}.jpg", 30, 20, i)
    picture(lomiri / "backgrounds/umang_by_Abhishek_Mudgal.jpg", 30, 20)  # a drawing
    picture(mate / "backgrounds/mate/abstract/a.jpg", 30, 20)
    earth = debian(root, "marble-qt-data") / "marble/data/maps/earth"
    picture(earth / "bluemarble/bluemarble.jpg", 2700, 1350)
    for y in range(2):
        for x in range(4):  # land in the north alone
            path = earth / f"srtm/1/{y:06}/{y:06}_{x:06}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (675, 675), 200 if y == 0 else 20).save(path)
    entries = []
    for i in range(40):
        tones = {"A": {"image": f"{i}-a.png"}, "B": {"image": f"{i}-b.png"}} if i < 20 else {}
        entries.append({"unified": f"U{i}", "image": f"{i}.png", "name": f"NAME {i}", "skin_variations": tones,
                        "category": ("Animals & Nature", "Flags")[i % 2]})
    entries.append({"unified": "U99", "image": "0.png", "name": "PATCH", "category": "Component"})
    for vendor in ("google", "twitter"):
        package = root / f"emoji-datasource-{vendor}"
        for entry in entries:
            for image in (entry, *entry.get("skin_variations", {}).values()):
                picture(package / f"img/{vendor}/64" / image["image"], 64, 64, mode="RGBA")
        (package / "emoji.json").write_text(json.dumps(entries))
        (package / "LICENSE").write_text("code")
        (package / "README.md").write_text("art")


def size_of(path):
    with Image.open(path) as image:
        return image.size


def digest(folder):
    sums = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()


class GetData(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.scratch.name)
        make_packages(cls.root / "packages")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def get(self, name, folder):
        """Status, stdout and stderr of tools/get-data."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = data_sets.main([name, str(self.root / folder), "--packages", str(self.root / "packages")])
        return status, out.getvalue(), err.getvalue()

    def lay_out(self, name):
        status, out, err = self.get(name, f"{name}-1")
        self.assertEqual((status, err), (0, ""))
        folder = self.root / f"{name}-1"
        self.assertTrue((folder / "ATTRIBUTION").read_text().startswith(f"{name}: "))
        self.assertIn("---", (folder / "LICENCE").read_text())
        before = digest(folder)
        self.assertIn("already there", self.get(name, f"{name}-1")[1])
        self.assertEqual(digest(folder), before)
        self.get(name, f"{name}-2")
        self.assertEqual(digest(self.root / f"{name}-2"), before, "a second time gives other files")
        names = [{str(path.relative_to(folder / side)) for path in (folder / side).rglob("*") if path.suffix == ".png"}
                 for side in ("train", "test")]
        self.assertFalse(names[0] & names[1], "on both sides")
        return folder, *names

    def test_fashion_mnist(self):
        folder, _, _ = self.lay_out("fashion-mnist")
        self.assertEqual(gzip.decompress((folder / "test/t10k-labels-idx1-ubyte.gz").read_bytes()), b"t10k-labels-idx1")

    def test_photographs(self):
        folder, train, test = self.lay_out("photographs")
        self.assertEqual(train | test, {f"{a}{i}.png" for a in "lm" for i in range(12)})
        self.assertTrue(2 <= len(test) <= 9)
        side = "test" if "l5.png" in test else "train"
        self.assertEqual(size_of(folder / side / "l5.png"), (23, 15))
        self.assertIn("terms of mate-backgrounds", (folder / "LICENCE").read_text())

    def test_maps(self):
        folder, train, test = self.lay_out("maps")
        held_out = {x // 270 for name in test for x in (int(name[:4]), int(name[:4]) + 127)}
        for name in train:
            self.assertFalse({int(name[:4]) // 270, (int(name[:4]) + 127) // 270} & held_out, name)
        self.assertLessEqual(max(int(name[5:9]) for name in train), 675)  # the sea is left out
        pair = np.asarray(Image.open(folder / "train" / min(train))).astype(int)
        self.assertEqual(pair.shape, (128, 256, 3))
        self.assertTrue((abs(pair[:, :128] - 200) < 3).all())

    def test_emoji(self):
        folder, train, test = self.lay_out("emoji")
        self.assertEqual(len(train | test), 80)
        self.assertEqual({name.split("/")[0] for name in train}, {"animals-nature", "flags"})
        bases = [{name.split("/")[1].split(".")[0].split("-")[0] for name in names} for names in (train, test)]
        self.assertFalse(bases[0] & bases[1], "one character on both sides")
        self.assertEqual(len((folder / "train/captions.tsv").read_text().splitlines()), len(train))

    def test_emoji_pairs(self):
        folder, train, test = self.lay_out("emoji-pairs")
        self.assertEqual(len(train | test), 80)
        self.assertEqual(size_of(folder / "train" / min(train)), (128, 64))

    def test_refusals(self):
        (self.root / "mine").mkdir()
        (self.root / "mine/photo.png").write_text("x")
        status, _, err = self.get("maps", "mine")
        self.assertEqual(status, 1)
        self.assertIn("not empty", err)
        self.get("fashion-mnist", "other")
        self.assertIn("expected maps", self.get("maps", "other")[2])
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()) as err:
            data_sets.main(["nothing"])
        self.assertIn("expected one of fashion-mnist", err.getvalue())
        (self.root / "packages/marble-qt-data/usr/share/marble").rename(self.root / "away")
        self.assertEqual(self.get("maps", "broken")[0], 1)
        self.assertFalse((self.root / "broken").exists(), "half a set was left")
        (self.root / "away").rename(self.root / "packages/marble-qt-data/usr/share/marble")


if __name__ == "__main__":
    unittest.main()
