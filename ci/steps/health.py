"""ci/health: build the image, and put it through the cases that are named, or all."""

import json
import shutil
import subprocess
import sys

from steps import image, prepare
from steps.console import RESULTS, on_host, run, say
from steps.tally import Tally

FOLDER = RESULTS / "health"


def main(names: list[str]) -> int:
    """Run the cases; exit code 0 when all went well."""
    try:
        python = str(prepare.python())
    except prepare.Failed as why:
        say(f"failed: {why}")
        return 1
    known = subprocess.run(
        [python, "-c", "from world.health_run import NAMES; print(*NAMES)"], check=True, capture_output=True, text=True
    ).stdout.split()
    if names == ["--list"]:
        print(*known, sep="\n")
        return 0
    if unknown := [name for name in names if name not in known]:
        print(f"no such case: {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    try:
        env = {"PATH_TO_PROGRAMS": str(prepare.programs()), **image.for_a_guest()}
    except prepare.Failed as why:
        say(f"failed: {why}")
        return 1
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    command = ["unshare", "--net", python, "-m", "world.health_run", str(FOLDER), *(names or known)]
    code = run("health", command, env=env)
    total = Tally()
    results = json.loads((FOLDER / "health.json").read_text()) if (FOLDER / "health.json").exists() else {}
    for name, result in results.items():
        total += Tally(0, [f"{name}: {result['failed']}"]) if "failed" in result else Tally(1)
    if code and not total.failed:
        total += Tally(0, [f"health (exit code {code})"])
    for failed in total.failed:
        say(f"failed: {failed}")
    say(f"logs and figures are in {on_host(FOLDER)}")
    print(total, flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
