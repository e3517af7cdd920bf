"""The card: a copy-on-write layer over the image file, and what a person with a PC does to its FAT partition."""

import contextlib
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SETTINGS = "spotstream.toml"
REPORT = "SPOTSTREAM-REPORT.txt"
CARD_SIZE = "4G"
SECTOR = 512


def digest(file: Path) -> str:
    """The SHA-256 of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@dataclass(frozen=True)
class Card:
    """A card with the image on it, in `layer`; the image itself is only read."""

    image: Path
    layer: Path

    @classmethod
    def flashed(cls, image: Path, layer: Path, size: str = CARD_SIZE) -> "Card":
        """A card of `size` onto which `image` was written; "" is one exactly as large."""
        layer.parent.mkdir(parents=True, exist_ok=True)
        layer.unlink(missing_ok=True)
        words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", layer]
        subprocess.run([*words, size] if size else words, check=True)
        return cls(image, layer)

    def write(self, name: str, content: bytes) -> None:
        """Write a file onto the partition that PCs show."""
        with self._fat() as fat:
            subprocess.run(["mcopy", "-o", "-i", fat, "-", f"::{name}"], input=content, check=True)
            self._put(fat)

    def read(self, name: str) -> bytes:
        """A file of that partition; empty when there is none."""
        with self._fat() as fat:
            done = subprocess.run(["mtype", "-i", fat, f"::{name}"], check=False, capture_output=True)
            return done.stdout

    def fat_bytes(self) -> bytes:
        """All of that partition: what somebody finds who picks up the card."""
        with self._fat() as fat:
            return fat.read_bytes()

    @contextlib.contextmanager
    def _fat(self) -> Iterator[Path]:
        """A copy of the first partition, as it is on the card now."""
        with tempfile.NamedTemporaryFile(dir=self.layer.parent, suffix=".fat") as copy:
            words = ["qemu-img", "convert", "-U", "--image-opts", self._partition(), "-O", "raw", copy.name]
            subprocess.run(words, check=True)
            yield Path(copy.name)

    def _put(self, fat: Path) -> None:
        words = ["qemu-img", "convert", "-n", "-f", "raw", fat, "--target-image-opts", self._partition()]
        subprocess.run(words, check=True)

    def _partition(self) -> str:
        start, size = first_partition(self.image)
        place = f"driver=raw,offset={start * SECTOR},size={size * SECTOR}"
        return f"{place},file.driver=qcow2,file.file.driver=file,file.file.filename={self.layer}"


def first_partition(image: Path) -> tuple[int, int]:
    """Where the first partition begins and how long it is, in sectors."""
    shown = subprocess.run(["sfdisk", "--json", image], check=True, capture_output=True)
    first = json.loads(shown.stdout)["partitiontable"]["partitions"][0]
    return first["start"], first["size"]
