"""netsetup's hands on NetworkManager, moved one by one: `netsetup/examples/manager.rs`, run as the unit would be."""

import json
import subprocess
from typing import Any

from world.manager import ManagedHost
from world.program import WorldError
from world.robot import program


class Driver:
    """A running driver; each method is one request."""

    def __init__(self, host: ManagedHost):
        """Start it on `host`, as the user and with the capabilities of the unit."""
        self.host = host
        words = host.as_netsetup([program("drive-manager")])
        self.log = (host.folder / "driver.log").open("ab")
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1
        )

    def __enter__(self) -> "Driver":
        """Nothing more."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, as abruptly as it ends when it is killed."""
        self.kill()

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait()
        self.log.close()

    def try_ask(self, request: str, value: Any = None) -> dict[str, Any]:
        """One request and its answer, whatever that is."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({request: value}) + "\n")
        line = self.process.stdout.readline()
        if not line:
            raise WorldError(f"the driver ended: {(self.host.folder / 'driver.log').read_text()}")
        return json.loads(line)

    def ask(self, request: str, value: Any = None) -> dict[str, Any]:
        """One request; a refusal is an error."""
        answer = self.try_ask(request, value)
        if "sentence" in answer:
            raise WorldError(f"{request}: {answer['sentence']}")
        return answer

    def uuid(self, profile: dict) -> str:
        """The UUID of a profile."""
        return self.ask("uuid", profile)["uuid"]

    def change(self, *steps: tuple[str, Any], devices: tuple[str, ...] = ()) -> None:
        """Apply steps under a checkpoint and keep them."""
        self.ask("checkpoint", devices)
        for request, value in steps:
            self.ask(request, value)
        self.ask("commit")

    def observe(self, *known: dict) -> dict[str, Any] | None:
        """What there is; `known` are profiles to tell apart."""
        return self.ask("observe", known)["manager"]

    def device(self, name: str) -> dict[str, Any]:
        """One device."""
        seen = self.observe()
        return {} if seen is None else seen["devices"].get(name, {})
