"""Two mistakes that people make with the card, and the sentence that each ends with, wherever somebody looks."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from world import health
from world.booted import Booted, booted

CASES = {case.name: case for case in health.CASES}


@pytest.fixture(scope="module")
def at_the_gate(request: pytest.FixtureRequest) -> Iterator[Booted]:
    """A machine that has not read its settings."""
    folder = Path("/results/world") / request.path.stem
    shutil.rmtree(folder, ignore_errors=True)
    with booted(folder, None, gate=True) as box:
        health.to_the_gate(box)
        yield box


@pytest.mark.parametrize("name", ["no-settings", "wrong-wifi-password"])
def test_a_mistake_ends_with_the_right_sentence(at_the_gate: Booted, name: str):
    health.run(CASES[name], at_the_gate)
