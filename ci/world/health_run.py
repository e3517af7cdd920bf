"""Runs cases of health, prints a line for each, writes figures as JSON; run in an empty network namespace."""

import json
import sys
import time
from pathlib import Path

from world.booted import booted, image
from world.card import digest
from world.health import CASES, run, to_the_gate
from world.health_boots import BOOTS

NAMES = (*(case.name for case in CASES), *BOOTS)


def main(folder: Path, names: list[str]) -> int:
    """Run what is named; exit code 0 when all went well."""
    before = digest(image())
    results: dict[str, dict[str, object]] = {}
    chosen = [case for case in CASES if case.name in names]
    if chosen:
        # One start for all of them: each goes on from where the settings have not been read.
        with booted(folder / "gate", None, gate=True) as box:
            to_the_gate(box)
            for case in chosen:
                results[case.name] = _tried(case.name, lambda case=case: run(case, box))
    for name in BOOTS:
        if name in names:
            start = time.monotonic()
            results[name] = _tried(name, lambda name=name: BOOTS[name](folder / name))
            results[name].setdefault("seconds", time.monotonic() - start)
    if digest(image()) != before:
        results["image"] = {"failed": "the image file has changed"}
    (folder / "health.json").write_text(json.dumps(results, indent=1))
    return 1 if any("failed" in result for result in results.values()) else 0


def _tried(name: str, act) -> dict[str, object]:
    print(f"{name} ...", flush=True)
    try:
        figures = act() or {}
    except Exception as error:
        # Whatever went wrong belongs to this case; the next one starts from the snapshot or anew.
        print(f"{name}: FAILED: {error}", flush=True)
        return {"failed": str(error)}
    print(f"{name}: ok {' '.join(f'{key} {value:.0f}' for key, value in figures.items())}", flush=True)
    return dict(figures)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
