"""Runs cases of health, prints a line for each, writes figures as JSON; run in an empty network namespace."""

import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from world.booted import booted, image
from world.card import digest
from world.health import CASES, run, to_the_gate
from world.health_boots import BOOTS
from world.program import WorldError

NAMES = (*(case.name for case in CASES), *BOOTS)


def main(folder: Path, names: list[str]) -> int:
    """Run what is named; exit code 0 when all went well."""
    before = digest(image())
    results: dict[str, dict[str, object]] = {}

    def tried(name: str, act: Callable[[], dict[str, float] | None]) -> None:
        print(f"{name} ...", flush=True)
        start = time.monotonic()
        try:
            figures = act() or {"seconds": time.monotonic() - start}
        except Exception as error:
            # Whatever went wrong belongs to this case; the next one starts from the snapshot or anew.
            print(f"{name}: FAILED: {error}", flush=True)
            results[name] = {"failed": str(error)}
        else:
            print(f"{name}: ok {' '.join(f'{key} {value:.0f}' for key, value in figures.items())}", flush=True)
            results[name] = dict(figures)
        (folder / "health.json").write_text(json.dumps(results, indent=1))

    def branches() -> None:
        with booted(folder / "gate", None, gate=True) as box:
            to_the_gate(box)
            for case in chosen:
                tried(case.name, functools.partial(run, case, box))

    def untouched() -> None:
        if digest(image()) != before:
            raise WorldError("the image file has changed")

    # One start for all of them: each goes on from where the settings have not been read.
    chosen = [case for case in CASES if case.name in names]
    if chosen:
        tried("gate", branches)
    for name in BOOTS:
        if name in names:
            tried(name, functools.partial(BOOTS[name], folder / name))
    tried("image", untouched)
    return 1 if any("failed" in result for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
