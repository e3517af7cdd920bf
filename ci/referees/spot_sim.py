"""Runs the simulator and holds its control socket."""

import contextlib
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

BINARY = os.environ.get("SPOT_SIM", "/target/release/spot-sim")
PASSWORD = "correct horse"


ROBOT, CAMERA, US = "192.168.50.3", "192.168.50.6", "192.168.50.20"


def make_payload_net():
    """Gives the loopback device of a private network namespace the addresses of the payload net.

    The viewer would not offer 127.0.0.1 as a candidate.
    """
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        raise RuntimeError("these tests run in a network namespace of their own (unshare --net)")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (ROBOT, CAMERA, US):
        subprocess.run(["ip", "address", "replace", f"{address}/24", "dev", "lo"], check=True)


class SpotSim:
    """A simulator with the addresses of the payload net; use as a context manager."""

    def __init__(self, folder: Path, *options: str):
        self.folder = folder
        self.grpc_port, self.signalling_port = free_ports(2)
        password_file = folder / "password"
        folder.mkdir(parents=True, exist_ok=True)
        password_file.write_text(PASSWORD + "\n")
        self.command = [
            BINARY, "serve",
            "--robot-address", ROBOT,
            "--camera-address", CAMERA,
            "--state-dir", str(folder),
            "--grpc-port", str(self.grpc_port),
            "--signalling-port", str(self.signalling_port),
            "--user", "operator",
            "--password-file", str(password_file),
            "--record", str(folder / "record"),
            *options,
        ]  # fmt: skip

    def __enter__(self) -> "SpotSim":
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log)
        if self.process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the simulator did not start: {(self.folder / 'log').read_text()}")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()
        self.log.close()

    @property
    def ca(self) -> Path:
        return self.folder / "robot-ca.pem"

    @property
    def url(self) -> str:
        return f"https://{CAMERA}:{self.signalling_port}/h264.sdp"

    @property
    def url_through_the_robot(self) -> str:
        return f"https://{ROBOT}:{self.signalling_port}/h264.sdp"

    def order(self, do: str, **arguments) -> dict:
        """One order over the control socket."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(str(self.folder / "control.sock"))
            control.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            reply = json.loads(control.makefile().readline())
        if not reply.pop("ok"):
            raise RuntimeError(reply["error"])
        return reply

    def rows(self, session: int) -> list[dict]:
        """What the simulator says it sent in a session, one row an access unit."""
        text = (self.folder / "record" / f"session-{session}.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def nals(self, session: int, row: dict) -> list[bytes]:
        """The NAL units of one row."""
        with open(self.folder / "record" / f"session-{session}.h264", "rb") as video:
            video.seek(row["offset"])
            return video.read(row["length"]).split(b"\0\0\0\1")[1:]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]
