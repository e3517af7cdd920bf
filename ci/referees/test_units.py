"""The units: systemd understands them, and finds them sealed."""

import subprocess
from pathlib import Path

import pytest

SOURCE = Path("/src")
# The largest exposure that `systemd-analyze security` may find, in tenths.
EXPOSURE = {
    "netsetup.service": 25,
    "spotstream-grow.service": 20,
    "spotstream-healthy.service": 15,
    "spotstream-import.service": 25,
    "spotstream-import@.service": 25,
    "spotstream-stage.service": 15,
    # It mounts the card and reads the kernel's log.
    "spotstream-watch.service": 30,
    "spotstreamd.service": 15,
}
UNITS = sorted(
    unit for tree in ("*", "image/*") for unit in SOURCE.glob(f"{tree}/dist/usr/lib/systemd/system/*.service")
)
SOCKETS = sorted(SOURCE.glob("*/dist/usr/lib/systemd/system/*.socket"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_unit_is_sealed(unit: Path):
    words = ["security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE[unit.name]}", str(unit)]
    done = subprocess.run(["systemd-analyze", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("unit", UNITS + SOCKETS, ids=lambda path: path.name)
def test_systemd_understands_every_line(unit: Path):
    words = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    # The programs are not installed where this is run.
    complaints = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    assert complaints == []


def test_there_are_units():
    assert {unit.name for unit in UNITS} == EXPOSURE.keys()
