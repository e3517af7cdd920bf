"""The machine's id in the initrd: it stays, whichever of its two places is spoilt."""

import re
import subprocess
from pathlib import Path

import pytest

INITRD = Path("/src/image/initrd/init")
STATE = Path("/src/image/boot/state.txt")
KEPT = 1 << 20

# What a start does with the state, in its order.
START = """
read_state
echo "$state 0x0 0x4000" >/etc/fw_env.config
set_state boot_stage=initrd "machine_id=$machine_id"
keep_machine_id
echo "$machine_id"
"""


@pytest.fixture
def partition(tmp_path: Path) -> Path:
    """An empty partition for the boot state."""
    path = tmp_path / "partition"
    with path.open("wb") as file:
        file.truncate(8 << 20)
    return path


def machine_id(partition: Path) -> str:
    """The id that the initrd's own lines give a machine in a start from that partition."""
    text = INITRD.read_text().removesuffix("main\n") + START
    text = re.sub("^(export PATH|/bin/busybox).*$", "", text, flags=re.MULTILINE)
    text = text.replace("fw_setenv -f /state.txt", f"fw_setenv -c /etc/fw_env.config -f {STATE}")
    # What it writes goes into the test's folder.
    text = re.sub("/(etc/fw_env|tmp|dev/kmsg)", lambda path: f"{partition.parent}/{path[1].replace('/', '-')}", text)
    (partition.parent / "tmp").mkdir(exist_ok=True)
    text = f"state={partition} slot=A\n{text}"
    done = subprocess.run(["sh"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def spoil(partition: Path, offset: int) -> None:
    with partition.open("r+b") as file:
        file.seek(offset)
        file.write(b"cut" * 100)


def test_the_machine_keeps_its_id_when_the_state_is_lost(partition: Path):
    first = machine_id(partition)
    assert re.fullmatch("[0-9a-f]{32}", first)
    for lost in ((), (0,), (KEPT,), (0,)):
        for offset in lost:
            spoil(partition, offset)
        assert machine_id(partition) == first, lost


def test_another_one_is_made_when_both_are_lost(partition: Path):
    first = machine_id(partition)
    spoil(partition, 0)
    spoil(partition, KEPT)
    second = machine_id(partition)
    assert re.fullmatch("[0-9a-f]{32}", second)
    assert second != first
