"""What the tests of the world share."""

import os
import shutil
from pathlib import Path

import pytest

from world.authority import Authority


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Path:
    """An empty folder of this test; what is in it afterwards is the evidence."""
    path = Path("/results/world") / request.path.stem / request.node.name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the test world trusts."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The packages from npm."""
    return Path(os.environ["NODE_PATH"])
