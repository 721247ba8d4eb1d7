"""The sets that tools/get-data lays out, one function each.

A set is a folder with train/ and test/, LICENCE as its packages give it, and ATTRIBUTION, which is written last: a folder
that has it is whole. What is held out follows from a hash of the source item (a character, a photograph, a stretch of
longitude), so that no item is on both sides, and the same package always gives the same set.
"""
import argparse
import collections
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
from PIL import Image

Image.MAX_IMAGE_PIXELS = None  # photographs of 20 megapixels are welcome
HERE = pathlib.Path(__file__).resolve().parent


class Failure(Exception):
    """A message for the user."""


# --- packages ---

def run(command, cwd, advice):
    try:
        return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise Failure(f"{command[0]} is missing; {advice}") from None
    except subprocess.CalledProcessError as error:
        raise Failure(f"{' '.join(command)} failed; {advice}\n{error.stderr.strip()}") from None


class Packages:
    """Where the files of packages are, and what they say of themselves."""

    def __init__(self, unpacked, scratch):
        self.unpacked, self.scratch, self.used, self.licences = unpacked, scratch, [], []

    def note(self, kind, name, version, *licences):
        self.used.append(f"{kind} {name} {version}")
        for path in licences:
            text = gzip.open(path, "rt").read() if path.suffix == ".gz" else path.read_text(errors="replace")
            self.licences.append(f"--- {name} {version}: {path.name} ---\n\n{text}")

    def debian(self, name):
        """The root of an unpacked Debian package: given, installed, or downloaded (which needs no root)."""
        root, version = self.unpacked / name if self.unpacked else None, "unpacked"
        if not (root and root.is_dir()):
            status = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name], text=True,
                                    capture_output=True, check=False).stdout.split()
            if status[:1] == ["installed"]:
                root, version = pathlib.Path("/"), status[1]
            else:
                root, version = self.download(name)
        self.note("Debian package", name, version, root / "usr/share/doc" / name / "copyright")
        return root

    def download(self, name):
        folder = self.scratch / name
        folder.mkdir()
        print(f"downloading the Debian package {name}")
        run(["apt-get", "-qq", "download", name], folder, "is the network there, and apt-get update done?")
        package = str(next(folder.glob("*.deb")))
        version = run(["dpkg-deb", "-f", package, "Version"], folder, "dpkg is needed").strip()
        run(["dpkg-deb", "-x", package, "root"], folder, "dpkg is needed")
        return folder / "root", version

    def npm(self, name, version, licences):
        """The folder of an unpacked npm package. Nothing of it is run."""
        root = self.unpacked / name if self.unpacked else None
        if not (root and root.is_dir()):
            print(f"downloading the npm package {name}")
            archive = run(["npm", "pack", "--silent", "--ignore-scripts", f"{name}@{version}"], self.scratch,
                          "install Node.js with npm, and look at the network").split()[-1]
            root = self.scratch / name
            with tarfile.open(self.scratch / archive) as archive:
                archive.extractall(root, [member for member in archive if member.isfile() and "sheets" not in member.name])
            root /= "package"
        self.note("npm package", name, version, *(root / licence for licence in licences))
        return root


# --- what is held out ---

def is_held_out(item, percent):
    return int(hashlib.sha256(item.encode()).hexdigest()[:8], 16) % 100 < percent


def part(item, percent):
    return "test" if is_held_out(item, percent) else "train"


def save(image, folder, *names):
    path = folder.joinpath(*names)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


# --- the sets ---

def fashion_mnist(packages, folder):
    source = packages.debian("dataset-fashion-mnist") / "usr/share/datasets/fashion-mnist"
    for prefix, name in (("train", "train"), ("t10k", "test")):
        (folder / name).mkdir()
        for kind in ("images-idx3", "labels-idx1"):
            shutil.copy(source / f"{prefix}-{kind}-ubyte.gz", folder / name)


DRAWINGS = {"umang_by_Abhishek_Mudgal"}  # among the photographs


def photographs(packages, folder):
    """Halved: at their full size, JPEG and demosaicing show more than the lens."""
    paths = [*(packages.debian("lomiri-wallpapers-16.04") / "usr/share/backgrounds").glob("*.jpg"),
             *(packages.debian("mate-backgrounds") / "usr/share/backgrounds/mate/nature").glob("*.jpg")]
    for path in sorted(paths, key=lambda path: path.name):
        if path.stem not in DRAWINGS:
            save(Image.open(path).convert("RGB").reduce(2), folder, part(path.stem, 20), path.stem + ".png")


CROP, STRIDE, STRETCH = 128, 32, 270  # pixels; a stretch of longitude is 36 degrees
SEA_LEVEL, LEAST_LAND = 96, 0.25  # as bytes of elevation (98 % of land is above, of sea below); of a crop
SOUTH = 1125  # row of 60 degrees south: ice alone below


def maps(packages, folder):
    """Elevation | satellite, side by side, of the same 17 by 17 degrees."""
    earth = packages.debian("marble-qt-data") / "usr/share/marble/data/maps/earth"
    satellite = Image.open(earth / "bluemarble/bluemarble.jpg").convert("RGB")
    rows = [np.hstack([np.asarray(Image.open(earth / f"srtm/1/{y:06}/{y:06}_{x:06}.jpg").convert("L")) for x in range(4)])
            for y in range(2)]
    elevation = Image.fromarray(np.vstack(rows))
    if elevation.size != satellite.size:
        raise Failure(f"elevation is {elevation.size}, satellite {satellite.size}, expected the same of both")
    for y in range(0, min(SOUTH, elevation.height) - CROP + 1, STRIDE):
        for x in range(0, elevation.width - CROP + 1, STRIDE):
            sides = {part(f"longitude {edge // STRETCH}", 20) for edge in (x, x + CROP - 1)}
            crop = (x, y, x + CROP, y + CROP)
            heights = elevation.crop(crop)
            if len(sides) > 1 or np.mean(np.asarray(heights) > SEA_LEVEL) < LEAST_LAND:
                continue
            pair = Image.new("RGB", (2 * CROP, CROP))
            pair.paste(heights.convert("RGB"), (0, 0))
            pair.paste(satellite.crop(crop), (CROP, 0))
            save(pair, folder, sides.pop(), f"{x:04}_{y:04}.png")


EMOJI_VERSION = "16.0.0"


def emoji_entries(root):
    """(file name, base character, category, name) of each picture; skin tones have the base of the plain one."""
    for entry in json.loads((root / "emoji.json").read_text()):
        category = entry["category"].lower().replace(" & ", "-").replace(" ", "-")
        if category == "component":  # five patches of skin colour
            continue
        for picture in (entry, *entry.get("skin_variations", {}).values()):
            yield picture["image"], entry["unified"], category, entry["name"].lower()


def on_white(path):
    picture = Image.open(path).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def emoji(packages, folder):
    root = packages.npm("emoji-datasource-google", EMOJI_VERSION, ["LICENSE", "README.md"])
    captions = collections.defaultdict(list)
    for image, base, category, name in emoji_entries(root):
        path = root / "img/google/64" / image
        if path.exists():
            side = part(base, 10)
            save(on_white(path), folder, side, category, image)
            captions[side].append(f"{category}/{image}\t{name}\n")
    for side, lines in captions.items():
        (folder / side / "captions.tsv").write_text("".join(lines))


def emoji_pairs(packages, folder):
    """One vendor's drawing | another's, side by side."""
    google = packages.npm("emoji-datasource-google", EMOJI_VERSION, ["LICENSE", "README.md"])
    twitter = packages.npm("emoji-datasource-twitter", EMOJI_VERSION, ["LICENSE", "README.md"])
    for image, base, _, _ in emoji_entries(google):
        paths = google / "img/google/64" / image, twitter / "img/twitter/64" / image
        if all(path.exists() for path in paths):
            pair = Image.new("RGB", (128, 64))
            for i, path in enumerate(paths):
                pair.paste(on_white(path), (64 * i, 0))
            save(pair, folder, part(base, 10), image)


AVATARS = {"@dicebear/core": "9.4.3", "@dicebear/avataaars": "9.4.3", "@resvg/resvg-js": "2.6.2"}
AVATAR_COUNT, AVATAR_SIDE = 10000, 128


def avatars(packages, folder):
    """Drawn faces, as many as one wants: a seed is a person."""
    print("downloading the npm packages " + ", ".join(AVATARS))
    run(["npm", "install", "--silent", "--no-save", "--ignore-scripts", *(f"{name}@{AVATARS[name]}" for name in AVATARS)],
        packages.scratch, "install Node.js with npm, and look at the network")
    root = packages.scratch / "node_modules"
    packages.note("npm package", "@dicebear/avataaars", AVATARS["@dicebear/avataaars"], root / "@dicebear/avataaars/LICENSE")
    for side in ("train", "test"):
        (folder / side).mkdir()
    jobs = "".join(f"{seed} {folder}/{part(f'avatar {seed}', 10)}/{seed:05}.png\n" for seed in range(AVATAR_COUNT))
    shutil.copy(HERE / "avatars.mjs", packages.scratch)
    (packages.scratch / "jobs").write_text(jobs)
    run(["node", "avatars.mjs", "jobs", str(AVATAR_SIDE)], packages.scratch, "install Node.js")


Set = collections.namedtuple("Set", "make licence text")
SETS = {
    "fashion-mnist": Set(fashion_mnist, "MIT", "70,000 grey images of garments, 28x28, 10 classes"),
    "photographs": Set(photographs, "CC-BY, CC-BY-SA, GPL-2+ (see LICENCE)", "26 photographs at half their size, for crops"),
    "maps": Set(maps, "public domain; elevation credited to NASA", "pairs elevation | satellite, 128x128 each"),
    "emoji": Set(emoji, "art Apache-2.0, data MIT", "3,781 colour pictures, 64x64, 9 classes, captions"),
    "emoji-pairs": Set(emoji_pairs, "art Apache-2.0 and CC-BY 4.0, data MIT", "pairs of two vendors' emoji, 64x64 each"),
    "avatars": Set(avatars, "free for personal and commercial use; code MIT", "10,000 drawn faces, 128x128, colour"),
}


# --- laying out ---

def write_papers(name, folder, packages):
    counts = {side: sum(path.suffix in (".png", ".gz") for path in (folder / side).rglob("*")) for side in ("train", "test")}
    if not all(counts.values()):
        raise Failure(f"{name}: {counts['train']} files for training and {counts['test']} held out, expected some of both")
    (folder / "LICENCE").write_text("\n\n".join(packages.licences))
    (folder / "ATTRIBUTION").write_text(
        f"{name}: {SETS[name].text}\nmade by vkgan's tools/get-data from:\n" +
        "".join(f"    {used}\n" for used in packages.used) + f"licence: {SETS[name].licence}\n"
        f"files: {counts['train']} in train, {counts['test']} in test\n")
    return counts


def lay_out(name, folder, unpacked):
    if (folder / "ATTRIBUTION").exists():
        found = (folder / "ATTRIBUTION").read_text().split(":")[0]
        if found != name:
            raise Failure(f"{folder} holds the set {found}, expected {name} or another folder")
        print(f"{folder}: already there")
        return
    if folder.exists() and any(folder.iterdir()):
        raise Failure(f"{folder} is not empty and no set of tools/get-data; name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # beside its place, so that it comes there whole or not at all
    with tempfile.TemporaryDirectory(prefix=".get-data-", dir=folder.parent) as scratch:
        packages = Packages(unpacked, pathlib.Path(scratch))
        made = packages.scratch / "made"
        made.mkdir()
        SETS[name].make(packages, made)
        counts = write_papers(name, made, packages)
        if folder.exists():
            folder.rmdir()
        os.rename(made, folder)
    print(f"{folder}: {counts['train']} files in train, {counts['test']} in test")


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="tools/get-data", description="Lays out a set of images from Debian or npm packages: train/ and test/ (held out "
        "by object), LICENCE, ATTRIBUTION. A set that is there already is left alone.")
    parser.add_argument("name", metavar="NAME", nargs="?", help="one of --list")
    parser.add_argument("folder", metavar="DIR", nargs="?", type=pathlib.Path, help="where to [data/NAME]")
    parser.add_argument("--list", action="store_true", help="the sets, one a line")
    parser.add_argument("--packages", metavar="DIR", type=pathlib.Path,
                        help="take packages that lie unpacked in DIR/PACKAGE from there")
    options = parser.parse_args(arguments)
    if not options.list and options.name not in SETS:
        parser.error(f"{options.name or 'no name'}: expected one of {', '.join(SETS)}")
    return options


def main(arguments):
    options = parse(arguments)
    if options.list:
        for name, each in SETS.items():
            print(f"{name:14} {each.text} [{each.licence}]")
        return 0
    folder = options.folder or HERE.parent / "data" / options.name
    try:
        lay_out(options.name, folder.absolute(), options.packages and options.packages.absolute())
    except (Failure, OSError) as error:
        print(f"get-data: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
