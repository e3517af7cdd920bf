"""ci/bench: build, let spotstreamd and GStreamer do the same job at the same time, print a table.

`ci/bench network` measures netsetup instead, `ci/bench boot` a start of the image, `ci/bench carry` what an emulated
one carries.
"""

import json
import shutil
import sys

from steps import bench_guest, bench_network, prepare
from steps.console import RESULTS, on_host, run, say

FOLDER = RESULTS / "bench"
COLUMNS = {
    "CPU s per minute": "{cpu_seconds:.2f}",
    "peak RSS MiB": "{peak_rss_mib:.0f}",
    "camera to ingest p50 ms": "{p50_ms:.1f}",
    "p99 ms": "{p99_ms:.1f}",
    "frames": "{frames}",
    "lost": "{lost}",
}


def main() -> int:
    """Print the table; exit code 0 when it was measured."""
    try:
        programs = prepare.programs()
        python = prepare.python()
    except prepare.Failed as why:
        say(f"failed: {why}")
        return 1
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    result = RESULTS / "bench.json"
    command = ["unshare", "--net", "python3", "-m", "world.race", str(FOLDER), str(python)]
    if run("bench", command, env={"PATH_TO_PROGRAMS": str(programs)}, stdout=result):
        return 1
    print(f"| 720p30 at 6 Mb/s | {' | '.join(COLUMNS)} |")
    print(f"|---{'|---' * len(COLUMNS)}|")
    for name, figures in json.loads(result.read_text()).items():
        print(f"| {name} | {' | '.join(text.format(**figures) for text in COLUMNS.values())} |")
    say(f"logs and all arrival times are in {on_host(FOLDER)}")
    return 0


if __name__ == "__main__":
    benches = {"network": bench_network.main, "boot": bench_guest.boot, "carry": bench_guest.carry}
    bench = main if len(sys.argv) == 1 else benches.get(" ".join(sys.argv[1:]))
    if bench is None:
        print("usage: ci/bench [network|boot|carry]", file=sys.stderr)
        sys.exit(2)
    sys.exit(bench())
