"""A minimal Debian of the image's own packages and kernel: systemd, udev, D-Bus, and what they depend on."""

import re
import shutil
import subprocess
from pathlib import Path

from world import packages
from world.helpers import IMAGE_DEBS

WANTED = ("systemd", "systemd-sysv", "udev", "dbus-broker", "kmod", "bash", "dash", "coreutils", "util-linux", "mount")
BASE = ("base-files", "base-passwd", "libc-bin", "busybox-static")
KERNEL = (r"linux-binary-.*-arm64", r"linux-modules-.*-arm64")
DRIVERS = ("virtio_blk", "erofs")
INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in /lib/*.ko; do /bin/busybox insmod "$module"; done
/bin/busybox mount -t erofs -o ro /dev/vda /root
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /usr/lib/systemd/systemd
"""


def make(folder: Path) -> tuple[Path, Path, Path]:
    """Kernel, initrd and root of it, in `folder`."""
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for deb in _closure(folder / "debs"):
        subprocess.run(["dpkg-deb", "--extract", deb, root], check=True)
    _finish(root)
    (modules,) = (root / "usr/lib/modules").iterdir()
    kernel = folder / "kernel"
    shutil.copy(modules / "vmlinuz", kernel)
    subprocess.run(["depmod", "-b", root, modules.name], check=True)
    image = folder / "root.erofs"
    image.unlink(missing_ok=True)
    subprocess.run(["mkfs.erofs", "--quiet", "-zlz4", image, root], check=True)
    initrd = _initrd(folder, root, modules.name)
    shutil.rmtree(root)
    return kernel, initrd, image


def _closure(kept: Path) -> list[Path]:
    """The packages, and all that they depend on as far as the image has it."""
    names, files = [*WANTED, *BASE, *KERNEL], {}
    while names:
        name = names.pop()
        (package,) = packages.locked([name])
        if package.name in files:
            continue
        (files[package.name],) = packages.fetch([package], kept, IMAGE_DEBS)
        names += _depends(files[package.name])
    return list(files.values())


def _depends(deb: Path) -> list[str]:
    told = subprocess.run(["dpkg-deb", "-f", deb, "Pre-Depends", "Depends"], check=True, capture_output=True, text=True)
    needs = [part for line in told.stdout.splitlines() for part in line.split(":", 1)[1].split(",")]
    known = {package.name for package in packages.all_locked()}
    found = []
    for need in needs:
        choices = [re.match(r"[a-z0-9.+-]+", choice.strip())[0] for choice in need.split("|")]
        found += [re.escape(choice) for choice in choices if choice in known][:1]
    return found


def _finish(root: Path) -> None:
    """What maintainer scripts would have done."""
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / f"etc/{name}")
    for name in ("shadow", "machine-id", "fstab"):
        (root / "etc" / name).touch()
    if not (root / "usr/bin/sh").exists():
        (root / "usr/bin/sh").symlink_to("dash")
    # As after its first start: nothing is to be brought up to date.
    subprocess.run(["ldconfig", "-r", root], check=True)
    (root / "etc/.updated").touch()
    for words in (["systemd-sysusers"], ["systemctl", "preset-all"]):
        subprocess.run([words[0], f"--root={root}", *words[1:]], check=True, capture_output=True)


def _initrd(folder: Path, root: Path, release: str) -> Path:
    tree = folder / "initrd.d"
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("bin", "lib", "dev", "root"):
        (tree / name).mkdir(parents=True)
    shutil.copy(root / "usr/bin/busybox", tree / "bin")
    for driver in DRIVERS:
        words = ["modprobe", "-d", root, "-S", release, "--show-depends", driver]
        told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        for file in (Path(line.split()[1]) for line in told.splitlines() if line.startswith("insmod")):
            target = tree / "lib" / f"{len(list((tree / 'lib').iterdir())):02}-{file.stem}"
            target.write_bytes(subprocess.run(["xz", "-dc", file], check=True, capture_output=True).stdout)
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    initrd = folder / "initrd"
    listing = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    with initrd.open("wb") as out:
        words = ["cpio", "--create", "--format=newc", "--quiet"]
        subprocess.run(words, input=listing.encode(), stdout=out, cwd=tree, check=True)
    shutil.rmtree(tree)
    return initrd
