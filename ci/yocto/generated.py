"""The files of meta-spotstream that are made from others of this tree: `ci/yocto-generate` writes them.

Each function gives the text that belongs into its file; ci/referees/test_yocto.py compares.
"""

import re
import sys
import tomllib
from pathlib import Path

SOURCE = Path("/src")
LAYER = SOURCE / "meta-spotstream"
HEAD = "# Written by ci/yocto-generate from {}.\n"
REGISTRY = "registry+"
KERNEL_FRAGMENT = "recipes-kernel/linux/files/spotstream.cfg"


def files() -> dict[str, str]:
    """Every generated file by its name in the layer."""
    return {
        "recipes-spotstream/spotstream/spotstream-crates.inc": crates((SOURCE / "Cargo.lock").read_text()),
        "conf/distro/include/spotstream-version.inc": version((SOURCE / "Cargo.toml").read_text()),
        KERNEL_FRAGMENT: kernel_fragment((SOURCE / "image/kernel-options").read_text(), _read(LAYER / KERNEL_FRAGMENT)),
        **users((SOURCE / "image/root/usr/lib/sysusers.d/00-spotstream-image.conf").read_text()),
    }


def crates(lock: str, origin: str = "Cargo.lock") -> str:
    """What a recipe fetches: each crate of the registry with its checksum; the host is left to a variable."""
    packages = [package for package in tomllib.loads(lock)["package"] if "source" in package]
    strangers = [package["name"] for package in packages if not package["source"].startswith(REGISTRY)]
    if strangers:
        raise ValueError(f"not of a registry, so no recipe can fetch it as a crate: {', '.join(strangers)}")
    names = [(package["name"], package["version"], package["checksum"]) for package in packages]
    uris = "".join(f"    crate://${{SPOTSTREAM_CRATES_HOST}}/{name}/{version} \\\n" for name, version, _ in names)
    sums = "".join(f'SRC_URI[{name}-{version}.sha256sum] = "{checksum}"\n' for name, version, checksum in names)
    return f'{HEAD.format(origin)}SRC_URI += "\\\n{uris}"\n\n{sums}'


def version(manifest: str) -> str:
    """The version of programs, image and bundles."""
    number = tomllib.loads(manifest)["workspace"]["package"]["version"]
    return f'{HEAD.format("Cargo.toml")}SPOTSTREAM_VERSION = "{number}"\n'


def kernel_fragment(options: str, before: str) -> str:
    """The options that the kernel must have. What may be a module is one, unless `before` has it built in."""
    fixed = dict(line.split("=", 1) for line in before.splitlines() if line.startswith("CONFIG_"))
    lines = []
    for line in options.splitlines()[2:]:
        name, _, wanted = line.partition("=")
        lines.append(f"{name}={wanted or fixed.get(name, 'm')}" if name.startswith("CONFIG_") else line)
    return HEAD.format("image/kernel-options") + "\n".join(lines).lstrip("\n").rstrip() + "\n"


def users(sysusers: str) -> dict[str, str]:
    """The numbers of users and groups, as useradd-staticids.bbclass reads them."""
    head = HEAD.format("image/root/usr/lib/sysusers.d/00-spotstream-image.conf")
    passwd, group = [], []
    for line in sysusers.splitlines():
        match = re.match(r"(u!?|g)\s+(\S+)\s+(\d+)(?::(\S+))?", line)
        if not match:
            continue
        kind, name, number, other_group = match.groups()
        if kind != "g":
            passwd.append(f"{name}:x:{number}:{other_group or number}:::\n")
        if not other_group:
            group.append(f"{name}:x:{number}:\n")
    return {"files/spotstream-passwd": head + "".join(passwd), "files/spotstream-group": head + "".join(group)}


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def main(into: Path) -> int:
    """Write all below `into`."""
    for name, text in files().items():
        path = into / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
