"""A field with a Spot and a campus: all that an emulated appliance is plugged into."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from world.dhcp import DhcpServer
from world.ingest import Nginx
from world.network import NGINX_ADDRESS, ROBOT, UPLINK_GATEWAY, Layout, Network
from world.program import Program, running
from world.robot import PASSWORD, USER, Robot
from world.wlan import Wlan

INGEST_NAME = "live.example.net"
KEY = "planted-stream-key"
# An emulated appliance carries this beside everything else that it does; how much more, nobody has measured yet.
PICTURE = ("--video", "640x360", "--fps", "10", "--bitrate", "500000")
SECRETS = (PASSWORD, KEY)
# Where a campus sends whoever has not clicked its page yet; nobody is sent there until a test shuts the way out.
PORTAL = f"{UPLINK_GATEWAY}:8082"
_PORTAL_SERVER = f"server {{ listen {PORTAL}; return 302 http://portal.example.net/login; }}"


@dataclass
class Field:
    """What is at the ends of the appliance's wires."""

    network: Network
    campus: DhcpServer
    nginx: Nginx
    robot: Robot | None


@contextlib.contextmanager
def field(folder: Path, *, robot: bool = True, internet: bool = True, extra_http: str = "") -> Iterator[Field]:
    """The robot with its camera, and a campus that hands out addresses, names, the time, and takes the stream."""
    network = Network(boxes=0)
    campus = DhcpServer(folder / "campus")
    campus.names = {INGEST_NAME: NGINX_ADDRESS}
    nginx = Nginx(folder / "nginx", _PORTAL_SERVER + extra_http, only_key=KEY, idle_seconds=20)
    with contextlib.ExitStack() as stack:
        spot = stack.enter_context(running(Robot(folder, *PICTURE))) if robot else None
        if internet:
            campus.start()
            stack.callback(campus.stop)
            stack.enter_context(running(nginx.start()))
        if spot is not None:
            stack.enter_context(running(_clock(folder, ROBOT, Layout.PAYLOAD.robot_address)))
            spot.wait_until_ready()
        yield Field(network, campus, nginx, spot)


def settings(wlan: Wlan, *, key: str = KEY, password: str = PASSWORD, kbps: int = 500, more: str = "") -> str:
    """What a person writes onto the card."""
    return f"""# Written on a PC.
[stream]
url = "rtmp://{INGEST_NAME}:1935/app"
key = "{key}"

{wlan.settings}
[network]
# A simulated radio is no USB stick, so it is named.
uplink_interface = "wlan0"

[robot]
username = "{USER}"
password = "{password}"

[camera]
target_bitrate_kbps = {kbps}
{more}"""


def _clock(folder: Path, host: str, address: str) -> Program:
    """The robot tells the time, as a real one does."""
    clock = Program([sys.executable, "-m", "world.clock", address], log=folder / "clock.log", host=host)
    clock.wait_until(lambda: "it listens" in clock.text(), 10, "it listens")
    return clock
