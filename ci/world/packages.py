"""Debian packages for the appliance's architecture that helpers of a test are made of, by exact version."""

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from world.program import WorldError

IMAGE_LOCK = Path("/src/image/packages.lock")
HELPERS_LOCK = Path(__file__).with_name("helpers.lock")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Package:
    """One line of a lock: what the archive calls a package, and what its file must be."""

    name: str
    version: str
    architecture: str
    sha256: str
    size: str

    @property
    def file(self) -> str:
        """As apt names the file."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


def all_locked() -> list[Package]:
    """Every package of the helpers' lock and the image's; the image's version where both have one."""
    found: dict[str, Package] = {}
    for lock in (HELPERS_LOCK, IMAGE_LOCK):
        for line in lock.read_text().splitlines():
            if line and not line.startswith("#"):
                package = Package(*line.split())
                found[package.name] = package
    return list(found.values())


def locked(patterns: Iterable[str]) -> list[Package]:
    """The packages whose names match, one for each pattern."""
    wanted = []
    for pattern in patterns:
        matching = [package for package in all_locked() if re.fullmatch(pattern, package.name)]
        if len(matching) != 1:
            raise WorldError(f"{pattern} is not one package of {IMAGE_LOCK} and {HELPERS_LOCK}: {matching}")
        wanted += matching
    return wanted


def fetch(packages: Iterable[Package], kept: Path, others: Path) -> list[Path]:
    """Their files, in `kept` afterwards; what the image's builder has fetched into `others` is taken from there."""
    kept.mkdir(parents=True, exist_ok=True)
    files, missing = [], []
    for package in packages:
        there = [folder / package.file for folder in (kept, others)]
        there = [file for file in there if file.exists() and _digest(file) == package.sha256]
        files += there[:1]
        missing += [] if there else [package]
    if missing:
        _download(missing, kept)
    for package in missing:
        # A version that the archive has no more is replaced by its successor, which is said.
        (file,) = sorted(kept.glob(f"{package.name}_*.deb"), key=lambda file: file.stat().st_mtime)[-1:]
        if _digest(file) != package.sha256:
            print(f"{file.name} is taken in place of {package.file}, which the archive has no more", flush=True)
        files.append(file)
    return files


def _download(packages: list[Package], into: Path) -> None:
    apt = into / "apt"
    (apt / "lists/partial").mkdir(parents=True, exist_ok=True)
    (apt / "archives/partial").mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    sources = [
        re.sub(r"^deb (\[[^]]*\] )?", f"deb [arch=arm64 signed-by={KEYRING}] ", line)
        for line in Path("/etc/apt/sources.list").read_text().splitlines()
        if line.startswith("deb ")
    ]
    (apt / "sources.list").write_text("\n".join(sources) + "\n")
    (apt / "conf").write_text(
        f'Dir::State "{apt}"; Dir::State::lists "{apt}/lists"; Dir::State::status "{apt}/status"; Dir::Cache "{apt}";\n'
        f'Dir::Etc::sourcelist "{apt}/sources.list"; Dir::Etc::sourceparts "/dev/null";\n'
        'APT::Architecture "arm64"; APT::Architectures {"arm64";}; APT::Sandbox::User "root";\n'
    )
    _apt(apt, "update", "-qq")
    for package in packages:
        try:
            _apt(apt, "download", "-qq", f"{package.name}:{package.architecture}={package.version}")
        except WorldError:
            _apt(apt, "download", "-qq", f"{package.name}:{package.architecture}")


def _apt(folder: Path, *words: str) -> None:
    env = {**os.environ, "APT_CONFIG": str(folder / "conf")}
    done = subprocess.run(
        ["apt-get", *words], check=False, capture_output=True, text=True, cwd=folder.parent, env=env, timeout=300
    )
    if done.returncode:
        raise WorldError(f"apt-get {' '.join(words)}: {done.stderr.strip()}")


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
