"""The demo: robot, daemon, server and page in a world of their own; run in an empty network namespace."""

import contextlib
import json
import signal
import sys
import threading
from pathlib import Path

from world.daemon import Bus, Daemon, settings
from world.ingest import Nginx
from world.network import Network
from world.program import running
from world.robot import Robot

KEY = "demo"
PAGE = Path("/src/ci/page")
LOOK_SECONDS = 0.5


def show(folder: Path, node_modules: Path, until: threading.Event) -> None:
    """Run it in `folder`, with its page on the Unix socket `folder/web`, until the event."""
    network = Network()
    (box,) = network.boxes
    nginx = Nginx(folder / "nginx", _web(folder, node_modules))
    status = folder / "status.json"
    status.write_text('{"state": "starting"}')
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(nginx.start()))
        robot = stack.enter_context(running(Robot(folder)))
        robot.wait_until_ready()
        print("A simulated Spot is on 192.168.50.3, its Spot CAM on 192.168.50.6.", flush=True)
        bus = stack.enter_context(running(Bus(folder, box)))
        daemon = Daemon(folder / "box", box, bus, settings(nginx.url, KEY), "info")
        stack.enter_context(running(daemon))
        said = None
        while not until.wait(LOOK_SECONDS):
            now = daemon.status()
            _replace(status, json.dumps(now))
            sentence = ": ".join(filter(None, (now.get("state"), now.get("reason"))))
            if sentence != said:
                print(f"spotstreamd: {sentence or 'starting'}", flush=True)
                said = sentence
        print("Ending: spotstreamd gives the camera its old settings back.", flush=True)
        daemon.stop()


def _web(folder: Path, node_modules: Path) -> str:
    return f"""
        server {{
          listen unix:{folder}/web;
          root {PAGE};
          location /hls/ {{ alias {folder}/nginx/hls/; add_header Cache-Control no-store; }}
          location = /status.json {{ alias {folder}/status.json; add_header Cache-Control no-store; }}
          location = /hls.js {{ alias {node_modules}/hls.js/dist/hls.min.js; }}
        }}
        """


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


if __name__ == "__main__":
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end.set())
    show(Path(sys.argv[1]), Path(sys.argv[2]), end)
