"""Whatever ends ci/test, ci/demo or ci/bench, nothing of it stays: no process, no mount, no network namespace."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from world.program import Program, running, wait_until

LIB = Path("/src/ci/lib")
# A host in a network namespace of its own, and a program that outlives its parent and hears no signal but KILL.
BUSY = """
ip netns add left-behind
ip netns exec left-behind ip link set lo up
trap '' INT TERM HUP
ip netns exec left-behind setsid sleep 600 &
echo busy
exec sleep 600
"""
# As the steps do it: a command in the background of a shell starts deaf to Ctrl-C.
ORDERLY = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
print("busy", flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    print("orderly")
"""


@pytest.fixture
def inside(tmp_path: Path) -> list[str | Path]:
    """The program of that name, with the root that we are in as its builder root."""
    lib, root = tmp_path / "tree/ci/lib", tmp_path / "root"
    shutil.copytree(LIB, lib)
    (lib / "builder").write_text(f"#!/bin/bash\necho {root}\n")
    root.mkdir()
    again = ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind / "$0" && exec "$@"', root]
    return [*again, "env", f"SPOTSTREAM_CACHE={tmp_path}/cache", lib / "inside"]


def test_it_gives_the_exit_code(tmp_path: Path, inside: list[str | Path]):
    with running(Program([*inside, "sh", "-c", "exit 7"], log=tmp_path / "log")) as one:
        assert one.wait(20) == 7, one.text()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda how: how.name)
def test_nothing_is_left_when_it_is_ended(tmp_path: Path, inside: list[str | Path], how: signal.Signals):
    mounts = Path("/proc/self/mountinfo").read_text()
    with running(Program([*inside, "bash", "-c", BUSY], log=tmp_path / "log")) as one:
        one.wait_until(lambda: "busy" in one.text(), 20, "it is busy")
        one.wait_until(lambda: len(guests()) >= 3, 10, "all of it runs")
        one.process.send_signal(how)
        one.wait(20)
        wait_until(lambda: guests() == [], 10, "all of it is gone")
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert not Path("/run/netns/left-behind").exists()


def test_ctrl_c_lets_the_command_end_in_good_order(tmp_path: Path, inside: list[str | Path]):
    with running(Program([*inside, "python3", "-c", ORDERLY], log=tmp_path / "log")) as one:
        one.wait_until(lambda: "busy" in one.text(), 20, "it is busy")
        # As a terminal does it: to the whole group.
        os.killpg(one.pid, signal.SIGINT)
        assert one.wait(20) == 0, one.text()
        assert "orderly" in one.text()
    assert guests() == []


def guests() -> list[str]:
    """Processes in a PID namespace that is not ours."""
    ours = os.readlink("/proc/self/ns/pid")
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and namespace(pid) not in (ours, None)]


def namespace(pid: str) -> str | None:
    """The PID namespace of a process; none for one that has ended."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None
