"""An appliance in the field: the image on a card with its settings, in a machine between robot and campus."""

import contextlib
import functools
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from world.authority import Authority
from world.card import CARD_SIZE, REPORT, SETTINGS, Card
from world.field import Field, field
from world.guest import Guest, guest
from world.wlan import WPA2, Wlan

# Emulated, and beside others: how long the machine may take to come to something.
BOOT_SECONDS = 600
DAEMON = "org.spotstream.Daemon1 /org/spotstream/Daemon1 org.spotstream.Daemon1"
APPLIANCE = "org.spotstream.Appliance1 /org/spotstream/Appliance1 org.spotstream.Appliance1"


def image() -> Path:
    """The image file that was built."""
    return Path(os.environ["SPOTSTREAM_IMAGE"])


@dataclass
class Booted:
    """The appliance, and all that is around it."""

    folder: Path
    field: Field
    card: Card
    guest: Guest

    def status(self) -> dict[str, Any]:
        """What the daemon says of itself; empty as long as it says nothing."""
        text, code = self.guest.try_run("spotstreamctl status --json 2>/dev/null")
        return json.loads(text) if code == 0 and text.strip() else {}

    def network(self) -> dict[str, Any]:
        """What netsetup says of both networks; empty as long as it says nothing."""
        text, code = self.guest.try_run("netsetup show --json 2>/dev/null")
        return json.loads(text) if code == 0 and text.strip() else {}

    @functools.cached_property
    def authority(self) -> Authority:
        """An authority that nobody knows."""
        return Authority(self.folder / "authority")

    def boot_state(self) -> dict[str, str]:
        """The variables that the boot loader and the appliance share."""
        return dict(line.split("=", 1) for line in self.guest.run("fw_printenv").splitlines())

    def wait_until_healthy(self) -> None:
        """Wait until this start is marked good."""
        self.guest.wait_until(lambda: self.boot_state()["boot_stage"] == "healthy", BOOT_SECONDS, "it is healthy")

    def property(self, name: str) -> Any:
        """A property of org.spotstream.Appliance1; nothing as long as nobody answers."""
        text, code = self.guest.try_run(f"busctl --json=short get-property {APPLIANCE} {name} 2>/dev/null")
        return json.loads(text)["data"] if code == 0 and text.strip() else None

    def call(self, method: str, seconds: float = 120) -> str:
        """What a method of org.spotstream.Appliance1 answers."""
        return json.loads(self.guest.run(f"busctl --json=short --timeout=100 call {APPLIANCE} {method}", seconds))[
            "data"
        ][0]

    def report(self) -> str:
        """The report as somebody reads it who takes the card out now."""
        self.guest.run("sync")
        return self.card.read(REPORT).decode(errors="replace")

    def page(self, path: str = "/") -> str:
        """What the status page says, asked for in the machine itself; empty when it does not answer."""
        ask = f"GET {path} HTTP/1.0\\r\\nHost: spotstream.local\\r\\n\\r\\n"
        command = f"exec 3<>/dev/tcp/127.0.0.1/80 && printf '{ask}' >&3 && timeout 20 cat <&3"
        return self.guest.try_run(f'bash -c "{command}" 2>/dev/null', 40)[0]

    def wait_for_state(self, state: str, seconds: float = BOOT_SECONDS) -> float:
        """Wait until the daemon is in `state`; gives the seconds it took."""
        last: list[dict[str, Any]] = [{}]

        def reached() -> bool:
            last[0] = self.status()
            return last[0].get("state") == state

        return self.guest.wait_until(reached, seconds, f"the daemon is {state}")

    def uptime(self) -> float:
        """The machine's own seconds since its kernel started."""
        return float(self.guest.run("cat /proc/uptime").split()[0])

    def uplink_address(self) -> str:
        """The address that the campus gave it; empty while it has none."""
        shown = self.guest.run("ip -4 -o address show dev wlan0")
        found = re.search(r"inet ([0-9.]+)/", shown)
        return found[1] if found else ""


@contextlib.contextmanager
def booted(
    folder: Path,
    settings: str | bytes | None,
    *,
    wlan: Wlan = WPA2,
    gate: bool = False,
    card_size: str = CARD_SIZE,
    words: Sequence[str] = (),
    extra_http: str = "",
    offline: bool = False,
) -> Iterator[Booted]:
    """Flash a card, write `settings` onto it as a person does, plug everything together, and give it power."""
    card = Card.flashed(image(), folder / "card.qcow2", card_size)
    if settings is not None:
        card.write(SETTINGS, settings if isinstance(settings, bytes) else settings.encode())
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(field(folder, robot=not offline, internet=not offline, extra_http=extra_http))
        machine = stack.enter_context(
            guest(folder, card.layer, "" if offline else wlan.hostapd, gate=gate, words=words)
        )
        yield Booted(folder, place, card, machine)
