"""The built image as a card that a test may change."""

import os
import subprocess
from pathlib import Path

from slot_disk import MEBIBYTE, SlotDisk, run

IMAGE = Path(os.environ["SPOTSTREAM_IMAGE"])


class Card(SlotDisk):
    """A card with a copy of the image on it."""

    @classmethod
    def flashed(cls, path: Path, *, size_mb: int | None = None) -> "Card":
        """A new card, of the image's own size or a larger one."""
        run("cp", "--sparse=always", IMAGE, path)
        if size_mb is not None:
            with path.open("r+b") as file:
                file.truncate(size_mb * MEBIBYTE)
        return cls(path)

    def drive(self, label: str) -> str:
        """The FAT partition, as mtools names it."""
        return f"{self.path}@@{self.offsets[label]}"

    def take(self, label: str, name: str, to: Path) -> Path:
        """A copy of a file on a FAT partition."""
        run("mcopy", "-n", "-o", "-i", self.drive(label), f"::{name}", to)
        return to

    def put(self, label: str, file: Path, name: str) -> None:
        """Put a file on a FAT partition, in the place of another one."""
        run("mcopy", "-D", "o", "-i", self.drive(label), file, f"::{name}")

    def text(self, label: str, name: str) -> str:
        """What a file on a FAT partition says; empty while there is none."""
        command = ["mtype", "-i", self.drive(label), f"::{name}"]
        return subprocess.run(command, capture_output=True).stdout.decode(errors="replace")

    def copy(self, source: str, to: str) -> None:
        """Copy a partition onto another one, with its holes."""
        with self.path.open("rb") as file:
            for at in range(0, self.sizes[source], MEBIBYTE):
                file.seek(self.offsets[source] + at)
                piece = file.read(MEBIBYTE)
                if piece.strip(b"\0"):
                    self.write(to, piece, at)

    def fill_slot_b(self) -> None:
        """What an update does: slot B becomes as slot A, and may be tried."""
        self.copy("spot-boot-a", "spot-boot-b")
        self.copy("spot-root-a", "spot-root-b")
        self.set_state(BOOT_ORDER="A B", BOOT_A_LEFT=3, BOOT_B_LEFT=3)
