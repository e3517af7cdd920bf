"""ci/bench network: from both cables to "ready", and what netsetup costs while nothing happens."""

import json
import shutil

from steps import prepare
from steps.console import RESULTS, on_host, run, say

FOLDER = RESULTS / "bench-network"
PARTS = {"total_ms": "total", "dhcp_ms": "DHCP", "dad_ms": "duplicate address detection", "own_ms": "ours"}


def main() -> int:
    """Print the tables; exit code 0 when they were measured."""
    try:
        programs = prepare.programs()
    except prepare.Failed as why:
        say(f"failed: {why}")
        return 1
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    result = RESULTS / "bench-network.json"
    command = ["unshare", "--net", "python3", "-m", "world.linkup", str(FOLDER)]
    if run("bench-network", command, env={"PATH_TO_PROGRAMS": str(programs)}, stdout=result):
        return 1
    print_tables(json.loads(result.read_text()))
    say(f"logs are in {on_host(FOLDER)}")
    return 0


def print_tables(figures: dict) -> None:
    """As docs/promises.md has them. Waits for the network overlap, so the parts do not add up to the total."""
    runs = figures["runs"]
    print(f"| cables to ready, {len(runs)} runs | p50 ms | p95 ms |\n|---|---|---|")
    for key, name in PARTS.items():
        values = sorted(one[key] for one in runs)
        print(f"| {name} | {values[len(values) // 2]:.0f} | {values[(len(values) * 95 - 1) // 100]:.0f} |")
    print("\n| netsetup | |\n|---|---|")
    print(f"| peak RSS MiB | {figures['peak_rss_mib']:.1f} |")
    print(f"| wake-ups in a minute without events | {figures['wakeups_per_minute']:.0f} |")
