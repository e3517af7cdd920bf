"""ci/demo: build, boot the image in the world, and pass loopback ports of the machine to both pages."""

import argparse
import asyncio
import os
import shutil
import signal
import socket
import sys

from steps import image, prepare
from steps.console import RESULTS, on_host, say
from world import proxy

FOLDER = RESULTS / "demo"


def main() -> int:
    """Run until Ctrl-C; exit code 0 then."""
    arguments = argparse.ArgumentParser(prog="ci/demo", description="A simulated Spot, live, in your browser.")
    arguments.add_argument("--port", type=int, default=8080, help="the port on 127.0.0.1 (default: %(default)s)")
    told = "the port of the appliance's own page (default: the one after that)"
    arguments.add_argument("--page-port", type=int, help=told)
    chosen = arguments.parse_args()
    ports = {"web": chosen.port, "appliance": chosen.page_port or chosen.port + 1}
    listeners = {}
    for name, port in ports.items():
        try:
            listeners[name] = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            print(f"port {port} of 127.0.0.1 cannot be used: {error.strerror}. Try --port.", file=sys.stderr)
            return 1
    try:
        fetching = prepare.referees_in_background()
        programs = prepare.programs()
        fetching.join()
        world = [str(prepare.python()), "-m", "world.show", str(FOLDER), str(prepare.node_modules())]
        env = {"PATH_TO_PROGRAMS": str(programs), **image.for_a_guest()}
    except prepare.Failed as why:
        say(f"failed: {why}")
        return 1
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    say(f"Logs are in {on_host(FOLDER)}")
    return asyncio.run(_show(listeners, world, env))


async def _show(listeners: dict[str, socket.socket], command: list[str], env: dict[str, str]) -> int:
    world = await asyncio.create_subprocess_exec(
        *("unshare", "--net", *command),
        stdin=asyncio.subprocess.DEVNULL,
        env={**os.environ, **env},
        process_group=0,
    )
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    port, page = (listeners[name].getsockname()[1] for name in ("web", "appliance"))
    say(f"Open http://127.0.0.1:{port}/ in a browser. Ctrl-C ends the demo.")
    say(f"The appliance's own page is http://127.0.0.1:{page}/ once it is on the network.")
    passing = [asyncio.create_task(proxy.serve(listener, FOLDER / name)) for name, listener in listeners.items()]
    ended = asyncio.create_task(world.wait())
    await asyncio.wait({ended, asyncio.create_task(asked.wait())}, return_when=asyncio.FIRST_COMPLETED)
    for one in passing:
        one.cancel()
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
