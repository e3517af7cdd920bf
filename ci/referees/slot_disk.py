"""A small disk with the appliance's partitions, for tests of what starts from it."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

MEBIBYTE = 1 << 20
BOOT = Path("/src/image/boot")
STATE_BYTES = 0x4000

# Label, size in MiB and GPT type of each partition, in order; the labels and their order are the image's.
PARTITIONS = (
    ("spot-boot", 36, "uefi"),
    ("spot-boot-a", 20, "linux"),
    ("spot-boot-b", 20, "linux"),
    ("spot-bootstate", 8, "linux"),
    ("spot-root-a", 1, "linux"),
    ("spot-root-b", 1, "linux"),
    ("spot-data", 1, "linux"),
)


def run(*command: str | Path, text: str | None = None) -> str:
    """What the program says; it has to succeed."""
    done = subprocess.run(
        [str(word) for word in command], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}"
    return done.stdout


def script(source: Path, to: Path) -> Path:
    """The U-Boot script `source` in the form that U-Boot sources."""
    run("mkimage", "-A", "arm64", "-O", "linux", "-T", "script", "-C", "none", "-d", source, to)
    return to


def environment(text: str, to: Path) -> Path:
    """A U-Boot environment of `text`, as it lies on the raw partition and in the Pi's uboot.env."""
    run("mkenvimage", "-s", hex(STATE_BYTES), "-o", to, "-", text=text)
    return to


def fat(path: Path, megabytes: int, files: Mapping[str, Path]) -> Path:
    """A FAT file system that holds `files`, by their path in it."""
    path.unlink(missing_ok=True)
    bits = ("-F", "32", "-s", "1") if megabytes > 33 else ()
    run("mkfs.vfat", *bits, "-C", path, str(megabytes * 1024))
    for name, file in files.items():
        folder = name.rpartition("/")[0]
        if folder and folder not in [known.rpartition("/")[0] for known in list(files)[: list(files).index(name)]]:
            run("mmd", "-i", path, f"::{folder}")
        run("mcopy", "-i", path, file, f"::{name}")
    return path


class SlotDisk:
    """The disk at `path`."""

    def __init__(self, path: Path):
        """Take the disk at `path`, as `make` or the image builder left it."""
        self.path = path
        # It warns on the other stream about a card that is larger than its table.
        said = subprocess.run(["sfdisk", "--json", path], check=True, capture_output=True, text=True).stdout
        table = json.loads(said)["partitiontable"]
        self.offsets = {part["name"]: part["start"] * 512 for part in table["partitions"]}
        self.sizes = {part["name"]: part["size"] * 512 for part in table["partitions"]}

    @classmethod
    def make(cls, path: Path, *, size_mb: int | None = None) -> "SlotDisk":
        """An empty disk with the partitions."""
        total = size_mb or sum(size for _, size, _ in PARTITIONS) + 2
        path.unlink(missing_ok=True)
        with path.open("wb") as file:
            file.truncate(total * MEBIBYTE)
        start, lines = 1, ["label: gpt"]
        for label, size, kind in PARTITIONS:
            lines.append(f"start={start}MiB, size={size}MiB, type={kind}, name={label}")
            start += size
        run("sfdisk", "--quiet", path, text="\n".join(lines) + "\n")
        return cls(path)

    def write(self, label: str, content: bytes, at: int = 0) -> None:
        """Put `content` on the partition."""
        assert at + len(content) <= self.sizes[label], f"{label} is too small for it"
        with self.path.open("r+b") as file:
            file.seek(self.offsets[label] + at)
            file.write(content)

    def fill(self, label: str, file: Path) -> None:
        """Put the file's content on the partition."""
        self.write(label, file.read_bytes())

    def blank(self, label: str, length: int | None = None) -> None:
        """Write zeros over the partition, or over its start."""
        self.write(label, bytes(length or self.sizes[label]))

    def _config(self) -> Path:
        config = self.path.with_suffix(".fw_env")
        config.write_text(f"{self.path} {self.offsets['spot-bootstate']:#x} {STATE_BYTES:#x}\n")
        return config

    def state(self) -> dict[str, str]:
        """The boot state, as libubootenv reads it; empty where its checksum is wrong."""
        done = subprocess.run(["fw_printenv", "-c", self._config()], capture_output=True, text=True)
        if "Cannot read environment" in done.stderr:
            return {}
        assert done.returncode == 0, done.stderr
        return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)

    def set_state(self, **values: str | int) -> None:
        """Change the boot state, as libubootenv writes it."""
        changes = self.path.with_suffix(".changes")
        changes.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        run("fw_setenv", "-c", self._config(), "-f", BOOT / "state.txt", "-s", changes)
