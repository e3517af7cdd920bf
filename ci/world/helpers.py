"""The helpers' disk: what a test puts beside the appliance, and never into its image.

An access point for one of two simulated radios, kernel modules of the image's own kernel, and units that systemd
takes from QEMU's fw_cfg.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from world import packages

# Where the disk is kept.
HELPERS = Path("/results/helpers")
# Where the image's builder keeps what it has fetched.
IMAGE_DEBS = Path("/results/image/debs")
# As names in a lock: the libraries are of the very versions that the image has.
PACKAGES = (
    "hostapd",
    "iw",
    "busybox-static",
    "libc6",
    "libnl-3-200",
    "libnl-genl-3-200",
    "libnl-route-3-200",
    "libssl3t64",
    "libzstd1",
    "zlib1g",
    r"linux-modules-.*-arm64",
)
UPLINK_MAC = "02:5e:00:00:00:02"
HELPER = Path(__file__).with_name("helper")
SERIAL = "helpers"
UNITS = ("tmp.mount", "t.service", "s.service", "m.service")
PROGRAMS = {"usr/sbin/hostapd": "sbin/hostapd", "usr/sbin/iw": "sbin/iw", "usr/bin/busybox": "bin/busybox"}
# What the scripts use of busybox: the image's own programs may be fewer.
APPLETS = ["cat", "ip", "kill", "mkdir", "mkfifo", "mount", "nsenter", "sleep", "unshare", "usleep", "insmod", "sh"]
MODULES = ("mac80211_hwsim", "llc", "stp", "bridge")
LIBRARIES = "usr/lib/aarch64-linux-gnu"
SIZE = "24M"


def disk(folder: Path) -> Path:
    """The disk in `folder`, made when it is not there or was made of something else."""
    wanted = packages.locked(PACKAGES)
    recipe = hashlib.sha256(repr(wanted).encode())
    for file in (Path(__file__), *sorted((HELPER / "bin").iterdir())):
        recipe.update(file.read_bytes())
    made = folder / f"helpers-{recipe.hexdigest()[:12]}.ext4"
    if not made.exists():
        for old in folder.glob("helpers-*"):
            old.unlink()
        part = folder / "part.ext4"
        make(part, packages.fetch(wanted, folder / "debs", IMAGE_DEBS))
        part.rename(made)
    return made


def make(disk: Path, debs: Iterable[Path]) -> None:
    """Write the disk from .deb files, one of them with the modules of the image's kernel."""
    tree = disk.with_suffix(".d")
    unpacked = disk.with_suffix(".debs")
    for folder in (tree, unpacked):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for package in debs:
        subprocess.run(["dpkg-deb", "--extract", package, unpacked], check=True)
    shutil.copytree(HELPER / "bin", tree / "bin")
    for folder in ("lib", "sbin", "modules"):
        (tree / folder).mkdir()
    for source, target in PROGRAMS.items():
        shutil.copy(_real(unpacked, source), tree / target)
    for library in sorted((unpacked / LIBRARIES).glob("*.so*")):
        shutil.copy(_real(unpacked, f"{LIBRARIES}/{library.name}"), tree / "lib" / library.name)
    for applet in APPLETS:
        (tree / "bin" / applet).symlink_to("busybox")
    for name in MODULES:
        (packed,) = unpacked.rglob(f"{name}.ko.xz")
        with (tree / "modules" / f"{name}.ko").open("wb") as module:
            subprocess.run(["xz", "--decompress", "--stdout", packed], stdout=module, check=True)
    (tree / "uplink").write_text(UPLINK_MAC + "\n")
    disk.unlink(missing_ok=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", tree, disk, SIZE], check=True)
    shutil.rmtree(tree)
    shutil.rmtree(unpacked)


def credentials(folder: Path, more: dict[str, str], units: Iterable[str] = UNITS) -> list[str]:
    """The words of QEMU's command line that bring the units in, and `more` credentials beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {f"systemd.extra-unit.{unit}": (HELPER / unit).read_text() for unit in units} | more
    words = []
    for name, text in texts.items():
        file = folder / name
        file.write_text(text)
        words += ["-fw_cfg", f"name=opt/io.systemd.credentials/{name},file={file}"]
    return words


def _real(root: Path, name: str) -> Path:
    """The file behind links that are meant for `root` as /."""
    path = root / name
    while path.is_symlink():
        target = path.readlink()
        path = root / target.relative_to("/") if target.is_absolute() else path.parent / target
    return path
