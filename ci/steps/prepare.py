"""What the steps need besides the builder root: the referees from PyPI and npm, and the built programs."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from steps.console import run, say

REFEREES = Path("/src/ci/referees")
TARGET = Path("/target")
BIN = Path("/run/bin")
DESCRIPTORS = BIN / "descriptors"
PROGRAMS = ("spotstreamd", "spotstreamctl", "netsetup", "spot-sim")
# The same words for building and for testing: another set would build the dependencies a second time.
# Crates of this tree; everything else is the same in every tree.
OURS = (
    "spotstream-core",
    "spotstream-service",
    "spotstream-settings",
    "spotstreamd",
    "netsetup-core",
    "netsetup",
    "image",
    "appliance",
    "spot-sim",
    "test-bus",
)
FEATURES = "spotstreamd/referees,netsetup/fault-points,appliance/referees"
WORKSPACE = ["--release", "--workspace", "--all-targets", "--locked", "--features", FEATURES]


class Failed(Exception):
    """A preparation that the steps cannot do without has failed; its log has been shown."""


def python() -> Path:
    """The interpreter of the referees' virtual environment, made when its requirements changed."""
    requirements = REFEREES / "requirements.txt"
    return _kept(Path("/venv"), requirements.read_bytes(), _make_venv) / "bin/python"


def node_modules() -> Path:
    """The folder of the npm packages, filled when their lock file changed."""
    return _kept(Path("/node"), (REFEREES / "package-lock.json").read_bytes(), _make_node) / "node_modules"


def referees_in_background() -> threading.Thread:
    """Fetch from PyPI and npm while the compiler works. What fails here is tried, and reported, again when used."""

    def both() -> None:
        with contextlib.suppress(Failed):
            python()
            node_modules()

    thread = threading.Thread(target=both)
    thread.start()
    return thread


def _kept(folder: Path, recipe: bytes, make) -> Path:
    with locked(folder / "lock"):
        ready = folder / hashlib.sha256(recipe).hexdigest()[:12]
        if not (ready / "complete").exists():
            for old in folder.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            ready.mkdir()
            make(ready)
            (ready / "complete").touch()
        return ready


def _make_venv(path: Path) -> None:
    subprocess.run(["python3", "-m", "venv", path], check=True)
    install = [f"{path}/bin/pip", "install", "--no-deps", "-r", str(REFEREES / "requirements.txt")]
    if run("pip", install) or run("pip-check", [f"{path}/bin/pip", "check"]):
        raise Failed("the packages of ci/referees/requirements.txt could not be installed")


def _make_node(path: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(REFEREES / name, path)
    if run("npm", ["npm", "ci", "--prefix", str(path), "--ignore-scripts", "--no-audit", "--no-fund"]):
        raise Failed("the packages of ci/referees/package-lock.json could not be installed")


@contextlib.contextmanager
def target() -> Iterator[None]:
    """The right to build: one run at a time, and never another tree's objects taken for this one's.

    Every tree is /src in here and cargo goes by the time of a file, so a tree that was checked out earlier than the
    last one built would pass for unchanged.
    """
    with locked(TARGET / "spotstream.lock"):
        owner = TARGET / "spotstream.tree"
        tree = os.environ["SOURCE_ON_HOST"]
        if owner.exists() and owner.read_text() != tree:
            ours = [word for name in OURS for word in ("-p", name)]
            for machine in ([], ["--target", "aarch64-unknown-linux-gnu"]):
                subprocess.run(["cargo", "clean", "--release", "--locked", *machine, *ours], check=True)
        owner.write_text(tree)
        yield


def programs() -> Path:
    """Build the workspace and give a folder with the programs, copied: a build that follows does not touch them.

    The folder is new in each run of the builder root, so what is complete in there was built from this tree.
    """
    if DESCRIPTORS.exists():
        return BIN
    with target():
        return build_and_copy()


def build_and_copy() -> Path:
    """As `programs`, for a caller that holds `target`."""
    if run("build", ["cargo", "build", *WORKSPACE]):
        raise Failed("the workspace does not build")
    BIN.mkdir(exist_ok=True)
    for program in PROGRAMS:
        shutil.copy(TARGET / "release" / program, BIN)
    shutil.copy(TARGET / "release/examples/manager", BIN / "drive-manager")
    with DESCRIPTORS.open("wb") as file:
        subprocess.run([TARGET / "release/examples/descriptors"], check=True, stdout=file)
    return BIN


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; another run that holds it is waited for."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that uses {path.parent}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
