"""The simulated Spot, on the robot's host."""

import json
import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from world.network import CAMERA_ADDRESS, ROBOT, Layout
from world.program import Program, WorldError

USER = "operator"
PASSWORD = "planted-robot-password"


@dataclass(frozen=True)
class Sent:
    """One access unit as the camera sent it."""

    frame: int
    idr: bool
    dropped: int
    sent_ns: int
    nals: list[bytes]


class Robot(Program):
    """A running simulator; `options` are words of its command line."""

    def __init__(self, folder: Path, *options: str, layout: Layout = Layout.PAYLOAD):
        """Start it; `wait_until_ready` says when it listens."""
        folder.mkdir(parents=True, exist_ok=True)
        self.state = folder / "robot"
        self.record = folder / "sent"
        self.ca = self.state / "robot-ca.pem"
        # The path of a socket has 107 bytes at most, and a folder of evidence is named after its test.
        self.control = Path(tempfile.mkdtemp(prefix="robot-")) / "control"
        password = folder / "robot-password"
        password.write_text(PASSWORD)
        command = [program("spot-sim"), "serve", "--robot-address", layout.robot_address]
        command += ["--camera-address", CAMERA_ADDRESS, "--state-dir", self.state, "--record", self.record]
        command += ["--control", self.control, "--user", USER, "--password-file", password, *options]
        super().__init__(command, log=folder / "robot.log", host=ROBOT, env={"RUST_LOG": "info"})

    def wait_until_ready(self) -> None:
        """Wait until all its sockets listen."""
        self.wait_until((self.state / "ready").exists, 20, "it listens")

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Ask the control socket, which answers one line with one line."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(str(self.control))
            control.sendall(json.dumps({"do": do, **more}).encode() + b"\n")
            answer = json.loads(control.makefile().readline())
        if not answer.get("ok"):
            raise WorldError(f"the simulator refused {do}: {answer}")
        return answer

    def sessions(self) -> list[int]:
        """The numbers of the sessions that have sent something, in their order."""
        return sorted(int(path.stem.split("-")[1]) for path in self.record.glob("session-*.jsonl"))

    def sent(self, session: int) -> list[Sent]:
        """What the RTP packets of `session` carried."""
        stream = (self.record / f"session-{session}.h264").read_bytes()
        rows = (self.record / f"session-{session}.jsonl").read_text().splitlines()
        return [_sent(json.loads(row), stream) for row in rows]


def program(name: str) -> Path:
    """A program that was built from this tree."""
    return Path(os.environ["PATH_TO_PROGRAMS"]) / name


def _sent(row: dict[str, Any], stream: bytes) -> Sent:
    unit = stream[row["offset"] : row["offset"] + row["length"]]
    # The recorder writes a four-byte start code before every NAL, and emulation prevention keeps it out of a NAL.
    nals = unit.split(b"\x00\x00\x00\x01")[1:]
    return Sent(row["frame"], row["idr"], row["dropped"], row["sent_ns"], nals)
