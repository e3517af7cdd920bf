"""The programs as do_compile has them before it: the crates that the recipe fetches, unpacked, and no network."""

import hashlib
import json
import os
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path("/src")
RECIPES = SOURCE / "meta-spotstream/recipes-spotstream/spotstream"
CACHE = Path("/cargo/registry/cache")


@dataclass(frozen=True)
class Sources:
    """A folder with the crates and the tree."""

    folder: Path

    @staticmethod
    def unpack(folder: Path) -> "Sources":
        """As the recipe says, from the crates that cargo has fetched before; another checksum is an error."""
        crates = folder / "cargo_home/bitbake"
        crates.mkdir(parents=True)
        text = (RECIPES / "spotstream-crates.inc").read_text()
        for name, checksum in re.findall(r'^SRC_URI\[(\S+)\.sha256sum\] = "(\w+)"$', text, re.MULTILINE):
            (archive,) = CACHE.glob(f"*/{name}.crate")
            if hashlib.sha256(archive.read_bytes()).hexdigest() != checksum:
                raise ValueError(f"{archive.name} is not what the recipe fetches")
            with tarfile.open(archive) as packed:
                packed.extractall(crates, filter="data")
            (crates / name / ".cargo-checksum.json").write_text(json.dumps({"files": {}, "package": checksum}))
        # As cargo_common.bbclass writes it.
        (crates.parent / "config.toml").write_text(
            f'[source.bitbake]\ndirectory = "{crates}"\n\n'
            '[source.crates-io]\nreplace-with = "bitbake"\nlocal-registry = "/nonexistent"\n'
        )
        tree = folder / "spotstream"
        text = (RECIPES / "spotstream-source.inc").read_text()
        for name in re.findall(r"^    file://(\S+);subdir=", text, re.MULTILINE):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-R", SOURCE / name, tree / name], check=True)
        return Sources(folder)

    def cargo(self, *words: str) -> str:
        """What cargo says in the tree, with --frozen as cargo.bbclass has it."""
        done = subprocess.run(
            ["cargo", *words, "--frozen", "--manifest-path", self.folder / "spotstream/Cargo.toml"],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder / "spotstream",
            env={
                **os.environ,
                "CARGO_HOME": str(self.folder / "cargo_home"),
                "CARGO_TARGET_DIR": str(self.folder / "target"),
                "CARGO_PROFILE_DEV_DEBUG": "0",
            },
        )
        if done.returncode:
            raise AssertionError(f"cargo {' '.join(words)}: {done.stderr[-4000:]}")
        return done.stdout


def flags() -> list[list[str]]:
    """What each of the recipes adds to cargo's words."""
    return [
        found.split()
        for path in sorted(RECIPES.glob("*.bb"))
        for found in re.findall(r'^CARGO_BUILD_FLAGS:append = " (.*)"$', path.read_text(), re.MULTILINE)
    ]
