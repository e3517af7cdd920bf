"""The daemon under test, on a box, with the D-Bus it would find on the appliance."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from world.network import Box
from world.program import Program, WorldError
from world.robot import PASSWORD, USER, program

POLICIES = Path("/src/daemon/dist/usr/share/dbus-1/system.d")


class Bus(Program):
    """A system bus of its own: dbus-daemon, silent by default as the stock one is, with our policy."""

    def __init__(self, folder: Path, box: Box, more: str = ""):
        """Start it on `box`; `more` is policy for names that are not installed here."""
        folder.mkdir(parents=True, exist_ok=True)
        # The path of a socket has 107 bytes at most, and a folder of evidence is named after its test.
        folder_of_socket = Path(tempfile.mkdtemp(prefix="bus-"))
        folder_of_socket.chmod(0o755)
        self.socket = folder_of_socket / "socket"
        self.address = f"unix:path={self.socket}"
        configuration = folder / "bus.conf"
        configuration.write_text(f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
            "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
            <busconfig>
              <type>system</type>
              <listen>{self.address}</listen>
              <auth>EXTERNAL</auth>
              <policy context="default">
                <allow user="*"/>
                <deny own="*"/>
                <deny send_type="method_call"/>
                <allow send_type="signal"/>
                <allow send_requested_reply="true" send_type="method_return"/>
                <allow send_requested_reply="true" send_type="error"/>
                <allow receive_type="method_call"/>
                <allow receive_type="method_return"/>
                <allow receive_type="error"/>
                <allow receive_type="signal"/>
                <allow send_destination="org.freedesktop.DBus"/>
              </policy>
              <includedir>{POLICIES}</includedir>
              {more}
            </busconfig>
            """)
        command = ["dbus-daemon", "--nofork", "--nopidfile", "--config-file", configuration]
        super().__init__(command, log=folder / "bus.log", host=box.host)
        self.wait_until(self.socket.exists, 10, "it listens")


class Daemon(Program):
    """A running `spotstreamd` with its settings and state in `folder`."""

    def __init__(self, folder: Path, box: Box, bus: Bus, settings: str, level: str = "trace", page: int | None = None):
        """Start it with the text of a `spotstream.toml`.

        With a port for the `page`, only when that is first asked for, and with the socket that systemd passes.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.box = box
        self.settings = folder / "spotstream.toml"
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        self.settings.write_text(settings + f'\n[log]\nlevel = "{level}"\n')
        self.settings.chmod(0o600)
        self.env = {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
        command = [program("spotstreamd"), "--config", self.settings, "--state-dir", self.state]
        if page is not None:
            socket = ["systemd-socket-activate", f"--listen={page}", "--fdname=http"]
            # It keeps the environment to itself.
            command = [*socket, *(f"--setenv={name}={value}" for name, value in self.env.items()), *command]
        super().__init__(command, log=folder / "spotstreamd.log", host=box.host, env=self.env)

    def control(self, *words: str) -> str:
        """What `spotstreamctl` prints; its complaint is an error."""
        done = self.try_control(*words)
        if done.returncode:
            raise WorldError(f"spotstreamctl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def try_control(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`spotstreamctl` on the box, whatever comes of it."""
        command = ["ip", "netns", "exec", self.box.host, program("spotstreamctl"), *words]
        env = {**os.environ, **self.env}
        return subprocess.run(command, check=False, capture_output=True, text=True, env=env, timeout=30)

    def status(self) -> dict[str, Any]:
        """What it says of itself; empty as long as it is not on the bus."""
        done = self.try_control("status", "--json")
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else {}

    def wait_for(self, state: str, seconds: float = 30) -> float:
        """Wait until it is in `state`; gives the seconds it took."""
        return self.wait_until(lambda: self.status().get("state") == state, seconds, f"it is {state}")


LOGIN_BY_USER = f"""
username = "{USER}"
password = "{PASSWORD}"
"""
LOGIN_BY_PAYLOAD = 'login = "payload"'


def settings(url: str, key: str, *, login: str = LOGIN_BY_USER, camera: str = "", stream: str = "") -> str:
    """A `spotstream.toml`; `camera` and `stream` are more lines of their sections."""
    return f"""
[stream]
url = "{url}"
key = "{key}"
{stream}

[robot]
interface = "eth0"
{login}

[camera]
{camera}
"""
