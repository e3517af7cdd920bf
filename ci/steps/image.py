"""The card image: cross-built programs, then the crate `image`. Kept in /results/image while its inputs stay the same.

`image()` gives the image for a test or the demo; as a program this is what ci/image runs.
"""

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from steps import prepare, referees
from steps.console import RESULTS, on_host, run, say
from steps.tally import Tally
from world import helpers

SOURCE = Path("/src")
FOLDER = RESULTS / "image"
OUT = FOLDER / "out"
LOCK = FOLDER / "packages.lock"
TRIPLE = "aarch64-unknown-linux-gnu"
PROGRAMS = {
    "spotstreamd": "spotstreamd",
    "spotstreamctl": "spotstreamd",
    "netsetup": "netsetup",
    "spotstream-appliance": "appliance",
}
# What goes into an image besides the programs.
DATA = ("image", "daemon/dist", "netsetup/dist", "Cargo.lock")
# A tree without its history is dated by this: the day the image was begun.
NO_COMMIT = ("0" * 40, 1_795_000_000)
COMMIT_LETTERS = 10


@dataclass(frozen=True)
class Version:
    """What an image calls itself, and the second that all its files are dated."""

    text: str
    epoch: int

    @staticmethod
    def of_tree() -> "Version":
        """The version of the program with the commit; changes that are not committed do not count."""
        commit, epoch = NO_COMMIT
        command = ["git", "-c", "safe.directory=*", "-C", str(SOURCE), "log", "-1", "--format=%H %ct"]
        asked = subprocess.run(command, check=False, capture_output=True, text=True)
        if asked.returncode == 0:
            commit, epoch = asked.stdout.split()
        cargo = tomllib.loads((SOURCE / "Cargo.toml").read_text())
        return Version(f"{cargo['workspace']['package']['version']}-{commit[:COMMIT_LETTERS]}", int(epoch))


def image() -> Path:
    """The image as a file with holes, in a folder with its SHA256SUMS; built when there is none of these inputs."""
    with _locked():
        programs = _cross_build()
        builder = _builder()
        stamp = _stamp(programs, builder)
        if _read("stamp") == stamp:
            return _image_in(OUT)
        _build(builder, programs, Version.of_tree(), OUT, FOLDER / "work", release=False)
        (FOLDER / "stamp").write_text(stamp)
        return _image_in(OUT)


def for_a_guest() -> dict[str, str]:
    """The environment of a program that boots the image; what it puts beside it is fetched while there is a way out."""
    built = image()
    helpers.HELPERS.mkdir(exist_ok=True)
    helpers.disk(helpers.HELPERS)
    return {"SPOTSTREAM_IMAGE": str(built)}


def artefacts(*, release: bool = False, url: str | None = None) -> Path:
    """The folder with everything that is handed out, of exactly this commit."""
    with _locked():
        programs = _cross_build()
        builder = _builder()
        version = Version.of_tree()
        stamp = _stamp(programs, builder)
        packed = f"{stamp} {version} {url}"
        same = _read("stamp") == stamp and (OUT / f"spotstream-{version.text}-arm64.img").exists()
        # A release holds the locked packages and no successors: what an earlier build did without is not enough.
        if same and not (release and _read("notes")):
            if _read("packed") == packed:
                return OUT
        else:
            _build(builder, programs, version, OUT, FOLDER / "work", release=release)
            (FOLDER / "stamp").write_text(stamp)
        _pack(builder, version, OUT, url)
        (FOLDER / "packed").write_text(packed)
        return OUT


def checked() -> Tally:
    """The image as a file, with everything that is handed out: built, and looked at."""
    os.environ["SPOTSTREAM_ARTEFACTS"] = str(artefacts())
    return referees.pytest("image-file", ("test_build.py",))


def differences() -> list[str]:
    """Build a second time, all crates from an empty target folder at another path; what came out differently."""
    first = artefacts()
    again = FOLDER / "again"
    with _locked():
        elsewhere = FOLDER / "elsewhere"
        shutil.rmtree(elsewhere, ignore_errors=True)
        programs = _cross_build(Path("/run/programs"), elsewhere / "target")
        builder = _builder()
        version = Version.of_tree()
        _build(builder, programs, version, again, elsewhere / "work", release=False)
        _pack(builder, version, again, None)
    shutil.rmtree(elsewhere)
    names = sorted({path.name for folder in (first, again) for path in folder.iterdir()})
    different = [name for name in names if _sum(first / name) != _sum(again / name)]
    if not different:
        shutil.rmtree(again)
    return different


def refresh_lock() -> Path:
    """The lock that today's archive gives."""
    with _locked():
        words = ["lock", "--tree", str(SOURCE), "--scratch", str(FOLDER / "apt"), "--out", str(LOCK)]
        if run("image-lock", [str(_builder()), *words]):
            raise prepare.Failed("the packages of image/packages could not be resolved")
        return LOCK


@contextlib.contextmanager
def _locked():
    FOLDER.mkdir(exist_ok=True)
    with prepare.locked(FOLDER / "lock"):
        yield


def _cross_build(into: Path = FOLDER / "programs", target: Path = prepare.TARGET) -> list[Path]:
    """The programs of the appliance without what only tests need, stripped; compiled in the folder `target`."""
    compiler = "aarch64-linux-gnu-gcc"
    # Fetching makes the folder of the registry, which has the name of the mirror in it.
    if run("fetch", ["cargo", "fetch", "--locked"]):
        raise prepare.Failed("the crates of Cargo.lock could not be fetched")
    registries = sorted(Path("/cargo/registry/src").iterdir())
    # Neither the mirror that a crate came from nor the place of this tree may show in a program.
    places = {**{str(path): "/crates" for path in registries}, "/src": "/spotstream", str(target): "/out"}
    upper = TRIPLE.upper().replace("-", "_")
    lower = TRIPLE.replace("-", "_")
    env = {
        "CARGO_TARGET_DIR": str(target),
        f"CARGO_TARGET_{upper}_LINKER": compiler,
        f"CARGO_TARGET_{upper}_RUSTFLAGS": " ".join(f"--remap-path-prefix={old}={new}" for old, new in places.items()),
        f"CC_{lower}": compiler,
        f"AR_{lower}": "aarch64-linux-gnu-ar",
    }
    packages = [word for name in dict.fromkeys(PROGRAMS.values()) for word in ("-p", name)]
    with prepare.target():
        if run("cross", ["cargo", "build", "--release", "--locked", "--target", TRIPLE, "--bins", *packages], env=env):
            raise prepare.Failed("the programs do not build for the appliance")
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        for name in PROGRAMS:
            built = target / TRIPLE / "release" / name
            subprocess.run(["aarch64-linux-gnu-strip", "-o", into / name, built], check=True)
        tree = ["cargo", "tree", "--locked", "--offline", "--target", TRIPLE, "--edges", "normal", "--prefix", "none"]
        listed = subprocess.run([*tree, "--format", "{p}\t{l}", *packages], check=True, capture_output=True, text=True)
        (FOLDER / "crates").write_text(
            "".join(sorted({line.replace(" (*)", "") + "\n" for line in listed.stdout.splitlines()}))
        )
    return [into / name for name in PROGRAMS]


def _builder() -> Path:
    """The builder, built for this machine and copied: another run may build it anew."""
    with prepare.target():
        if run("image-builder", ["cargo", "build", "--release", "--locked", "-p", "image"]):
            raise prepare.Failed("the crate `image` does not build")
        return Path(shutil.copy(prepare.TARGET / "release/image", FOLDER / "builder"))


def _build(builder: Path, programs: list[Path], version: Version, out: Path, work: Path, *, release: bool) -> None:
    if out == OUT:
        (FOLDER / "stamp").unlink(missing_ok=True)
        (FOLDER / "packed").unlink(missing_ok=True)
    words = ["build", "--tree", str(SOURCE), "--debs", str(FOLDER / "debs"), "--scratch", str(work), "--out", str(out)]
    words += ["--image-version", version.text, "--epoch", str(version.epoch), "--crates", str(FOLDER / "crates")]
    words += [f"--program={program}" for program in programs] + ["--release"] * release
    if run("image-build", [str(builder), *words]):
        raise prepare.Failed("the image could not be built")
    lines = (RESULTS / "image-build.log").read_text().splitlines()
    notes = [line for line in lines if "no longer serves" in line or "fits nothing" in line]
    (FOLDER / "notes").write_text("".join(line + "\n" for line in notes))
    for note in notes:
        say(note)
    # The composed root is as large as all the rest, and nobody needs it any more.
    shutil.rmtree(work)


def _pack(builder: Path, version: Version, out: Path, url: str | None) -> None:
    words = ["pack", "--out", str(out), "--image-version", version.text, "--epoch", str(version.epoch)]
    if run("image-pack", [str(builder), *words, *(["--url", url] if url else [])]):
        raise prepare.Failed("the image could not be packed")


def _stamp(programs: list[Path], builder: Path) -> str:
    """One word for everything that goes into an image but the commit."""
    total = hashlib.sha256()
    files = [*programs, builder]
    for name in DATA:
        path = SOURCE / name
        files += sorted(file for file in path.rglob("*") if not file.is_dir()) if path.is_dir() else [path]
    for file in files:
        content = os.readlink(file).encode() if file.is_symlink() else file.read_bytes()
        total.update(f"{file} {file.lstat().st_mode & 0o100} {hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


def _read(name: str) -> str:
    """What the last build left in /results/image/NAME; nothing if there was none."""
    path = FOLDER / name
    return path.read_text() if path.exists() else ""


def _image_in(folder: Path) -> Path:
    (found,) = folder.glob("*.img")
    return found


def _sum(file: Path) -> str:
    if not file.exists():
        return "missing"
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def main() -> int:
    """What ci/image asks for; exit code 0 when it could be done."""
    arguments = argparse.ArgumentParser(prog="ci/image", description="The card image of the appliance, as a file.")
    arguments.add_argument("--release", action="store_true", help="stop when the archive no longer has what is locked")
    arguments.add_argument("--url", help="the address below which the image will be found, for Raspberry Pi Imager")
    arguments.add_argument("--refresh-lock", action="store_true", help="write image/packages.lock anew; build nothing")
    arguments.add_argument("--check-reproducible", action="store_true", help="build twice and compare every byte")
    options = arguments.parse_args()
    try:
        if options.refresh_lock:
            say(f"The lock of today's archive: {on_host(refresh_lock())}")
            return 0
        if options.check_reproducible:
            different = differences()
            say(
                f"not the same in a second build: {', '.join(different)}"
                if different
                else "both builds are the same, byte by byte"
            )
            return 1 if different else 0
        out = artefacts(release=options.release, url=options.url)
    except prepare.Failed as why:
        say(f"failed: {why}")
        return 1
    for file in sorted(out.iterdir()):
        say(f"{file.stat().st_size:>12}  {file.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
