"""ci/bench boot: what a start of the image costs its guest, beside a minimal Debian with the same kernel."""

import json
import shutil

from steps import image, prepare
from steps.console import RESULTS, on_host, run, say

FOLDER = RESULTS / "bench-boot"
COLUMNS = {"total": "seconds of the guest", "busy": "CPU-bound", "waiting": "wait-bound"}


def main() -> int:
    """Print the table; exit code 0 when it was measured."""
    try:
        programs = prepare.programs()
        python = str(prepare.python())
        env = {"PATH_TO_PROGRAMS": str(programs), **image.for_a_guest()}
    except prepare.Failed as why:
        say(f"failed: {why}")
        return 1
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    result = RESULTS / "bench-boot.json"
    command = ["unshare", "--net", python, "-m", "world.bootrace", str(FOLDER)]
    if run("bench-boot", command, env=env, stdout=result):
        return 1
    figures = json.loads(result.read_text())
    print(f"| from the kernel's start | {' | '.join(COLUMNS.values())} |\n|---{'|---' * len(COLUMNS)}|")
    for name, row in figures["boots"].items():
        print(f"| {name} | {' | '.join(f'{row[key]:.1f}' for key in COLUMNS)} |")
    print(f"\nCPU-bound to multi-user, beside the minimal root: {figures['ratio']:.2f}")
    say(f"logs are in {on_host(FOLDER)}")
    return 0
