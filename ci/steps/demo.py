"""ci/demo: build, start the world, and pass one loopback port of the machine to its page."""

import argparse
import asyncio
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

from steps import prepare
from steps.console import RESULTS, on_host, say
from world import proxy

FOLDER = RESULTS / "demo"


def main() -> int:
    """Run until Ctrl-C; exit code 0 then."""
    arguments = argparse.ArgumentParser(prog="ci/demo", description="A simulated Spot, live, in your browser.")
    arguments.add_argument("--port", type=int, default=8080, help="the port on 127.0.0.1 (default: %(default)s)")
    port = arguments.parse_args().port
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        print(f"port {port} of 127.0.0.1 cannot be used: {error.strerror}. Try --port.", file=sys.stderr)
        return 1
    try:
        fetching = prepare.referees_in_background()
        programs = prepare.programs()
        fetching.join()
        node_modules = prepare.node_modules()
    except prepare.Failed as why:
        say(f"failed: {why}")
        return 1
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    say(f"Logs are in {on_host(FOLDER)}")
    return asyncio.run(_show(listener, programs, node_modules))


async def _show(listener: socket.socket, programs: Path, node_modules: Path) -> int:
    world = await asyncio.create_subprocess_exec(
        *("unshare", "--net", "python3", "-m", "world.show", str(FOLDER), str(node_modules)),
        stdin=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PATH_TO_PROGRAMS": str(programs)},
        process_group=0,
    )
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    say(f"Open http://127.0.0.1:{listener.getsockname()[1]}/ in a browser. Ctrl-C ends the demo.")
    passing = asyncio.create_task(proxy.serve(listener, FOLDER / "web"))
    ended = asyncio.create_task(world.wait())
    await asyncio.wait({ended, asyncio.create_task(asked.wait())}, return_when=asyncio.FIRST_COMPLETED)
    passing.cancel()
    if asked.is_set() and world.returncode is None:
        world.terminate()
    code = await ended
    if code or not asked.is_set():
        say(f"the demo's world ended by itself (exit code {code}); see {on_host(FOLDER)}")
        return 1
    say("Ended.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
