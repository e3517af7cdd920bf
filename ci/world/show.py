"""The demo: the image in a machine between robot and campus, and a page; run in an empty network namespace."""

import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from world.booted import BOOT_SECONDS, Booted, booted, image
from world.card import digest
from world.field import KEY, settings
from world.guest import MILESTONES
from world.network import INTERNET
from world.program import LOOK_SECONDS, Program, WorldError, running
from world.wlan import WPA2

PAGE = Path("/src/ci/page")


class Ended(Exception):
    """Whoever watches has had enough."""


def show(folder: Path, node_modules: Path, until: threading.Event) -> None:
    """Run it in `folder`, with its page on the Unix socket `folder/web`, until the event."""
    before = digest(image())
    print(f"The image is {image().name}, SHA-256 {before}.", flush=True)
    status = folder / "status.json"
    status.write_text('{"state": "starting"}')
    with contextlib.suppress(Ended), booted(folder, settings(WPA2), extra_http=_web(folder, node_modules)) as box:
        print("A simulated Spot is on 192.168.50.3, its Spot CAM on 192.168.50.6; the machine has power.", flush=True)
        _watch_the_start(box, status, until)
        with contextlib.ExitStack() as stack:
            _watch(box, status, until, lambda: stack.enter_context(running(_way_to_the_page(box, folder))))
        print("Ending: spotstreamd gives the camera its old settings back.", flush=True)
        box.guest.try_run("systemctl stop spotstreamd.service", 60)
    after = digest(image())
    print(f"The image is as it was, SHA-256 {after}." if after == before else "The image has changed!", flush=True)
    if after != before:
        raise WorldError("the image has changed")


def _watch_the_start(box: Booted, status: Path, until: threading.Event) -> None:
    def asked() -> None:
        if until.is_set():
            raise Ended

    for sign, what in MILESTONES:
        _replace(status, {"state": "starting", "reason": f"waiting until {what}"})
        box.guest.wait_for_console(sign, BOOT_SECONDS, what, meanwhile=asked)
        print(f"machine: {what}", flush=True)
    box.guest.wait_for_shell(BOOT_SECONDS)


def _watch(box: Booted, status: Path, until: threading.Event, on_network: Callable[[], object]) -> None:
    said = None
    address = ""
    while not until.wait(LOOK_SECONDS):
        if not address and (address := box.uplink_address()):
            print(f"machine: the network is there, {address} by WiFi", flush=True)
            on_network()
        now = box.status()
        _replace(status, now or {"state": "starting"})
        sentence = ": ".join(filter(None, (now.get("state"), now.get("reason"))))
        if sentence != said:
            print(f"spotstreamd: {sentence or 'starting'}", flush=True)
            said = sentence


def _way_to_the_page(box: Booted, folder: Path) -> Program:
    """The appliance's own page, as a phone on the campus has it, on the Unix socket `folder/appliance`."""
    socket = folder / "appliance"
    words = ["socat", f"UNIX-LISTEN:{socket},fork", f"TCP:{box.uplink_address()}:80"]
    return Program(words, log=folder / "appliance.log", host=INTERNET)


def _web(folder: Path, node_modules: Path) -> str:
    return f"""
        server {{
          listen unix:{folder}/web;
          root {PAGE};
          location = /hls/demo.m3u8 {{ alias {folder}/nginx/hls/{KEY}.m3u8; add_header Cache-Control no-store; }}
          location /hls/ {{ alias {folder}/nginx/hls/; add_header Cache-Control no-store; }}
          location = /status.json {{ alias {folder}/status.json; add_header Cache-Control no-store; }}
          location = /hls.js {{ alias {node_modules}/hls.js/dist/hls.min.js; }}
        }}
        """


def _replace(path: Path, status: dict[str, Any]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(status))
    new.replace(path)


if __name__ == "__main__":
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end.set())
    show(Path(sys.argv[1]), Path(sys.argv[2]), end)
