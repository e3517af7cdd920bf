"""The benches that start the image.

`ci/bench boot`: what a start costs, beside a minimal Debian with the same kernel; `ci/bench carry`: how much of a
picture the emulated machine carries.
"""

import json
import shutil
from typing import Any

from steps import image, prepare
from steps.console import RESULTS, on_host, run, say

BOOT = {"total": "seconds of the guest", "busy": "CPU-bound", "waiting": "wait-bound"}
CARRY = {"sent": "sent on a second", "lost": "lost", "busy": "processors busy"}


def boot() -> int:
    """Print the table; exit code 0 when it was measured."""
    figures = _measured("bootrace")
    if figures is None:
        return 1
    _print("from the kernel's start", BOOT, figures["boots"])
    print(f"\nCPU-bound to multi-user, beside the minimal root: {figures['ratio']:.2f}")
    return 0


def carry() -> int:
    """Print the table; exit code 0 when it was measured."""
    figures = _measured("carry")
    if figures is None:
        return 1
    _print("the camera's picture", CARRY, figures)
    return 0


def _measured(module: str) -> Any:
    """What a module of the world measures, once everything is built; nothing when that failed, which was said."""
    try:
        programs = prepare.programs()
        python = str(prepare.python())
        env = {"PATH_TO_PROGRAMS": str(programs), **image.for_a_guest()}
    except prepare.Failed as why:
        say(f"failed: {why}")
        return None
    folder = RESULTS / f"bench-{module}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    result = RESULTS / f"bench-{module}.json"
    command = ["unshare", "--net", python, "-m", f"world.{module}", str(folder)]
    if run(f"bench-{module}", command, env=env, stdout=result):
        return None
    say(f"logs are in {on_host(folder)}")
    return json.loads(result.read_text())


def _print(first: str, columns: dict[str, str], rows: dict[str, dict[str, float]]) -> None:
    print(f"| {first} | {' | '.join(columns.values())} |\n|---{'|---' * len(columns)}|")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(f'{row[key]:.2f}' for key in columns)} |")
