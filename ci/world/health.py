"""What is to be healthy, as a table: each case changes one thing in the field, and says how that is to end."""

import html
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from world.booted import Booted
from world.card import SETTINGS
from world.field import KEY, PORTAL, settings
from world.guest import GATE
from world.network import INTERNET, nft
from world.program import WorldError
from world.robot import PASSWORD
from world.wlan import EAP_USERS, HIDDEN, PASSPHRASE, PEAP, RADIUS_NAME, RUN, WPA2, WPA3, Wlan

SNAPSHOT = "gate"
# Emulated: how long it may take until it says what is wrong, or is live.
CASE_SECONDS = 400
WRONG = "planted-wrong-"
SECRETS = (PASSPHRASE, KEY, PASSWORD, WRONG)

Deed = Callable[[Booted], None]


@dataclass(frozen=True)
class Case:
    """One thing that can be so in the field."""

    name: str
    # What the daemon is to be, and the kind of its reason; a regular expression each.
    state: str = "Live"
    kind: str = ""
    wlan: Wlan = WPA2
    # What is written onto the card; nothing where it is None.
    settings: str | None = field(default_factory=lambda: settings(WPA2))
    # Done to the world before the settings are read.
    before: Deed | None = None
    # Done once the appliance is live, to end in `state`; then undone to be live again.
    then: Deed | None = None
    undo: Deed | None = None


def _give_the_certificate(box: Booted) -> None:
    """What the access point's authentication server needs, and the authority that the appliance is to trust."""
    authority = box.authority
    key, chain = authority.certificate(RADIUS_NAME)
    files = {".ca": authority.root.read_text(), ".cert": chain.read_text(), ".key": key.read_text()}
    for name, text in {**files, ".eap_users": EAP_USERS}.items():
        box.guest.write(RUN + name, text)
    box.guest.run("install -m 0644 /run/t.ca /etc/spotstream/wifi-ca.pem")


def _portal(_: Booted) -> None:
    # Every page leads to the portal, and everything else is shut.
    nft(
        INTERNET,
        f"""
        table ip portal {{
          chain in {{
            type nat hook prerouting priority dstnat
            iifname eth0 tcp dport 80 dnat to {PORTAL}
          }}
          chain shut {{
            type filter hook prerouting priority 0
            iifname eth0 tcp dport {{ 443, 1935 }} drop
          }}
        }}
        """,
    )


def _no_internet(box: Booted) -> None:
    nft(
        INTERNET,
        "table ip shut { chain in { type filter hook prerouting priority 0; iifname eth0 tcp dport 1935 drop; }; }",
    )


CASES = (
    Case("wpa2"),
    Case("wpa3", wlan=WPA3, settings=settings(WPA3)),
    Case("peap", wlan=PEAP, settings=settings(PEAP), before=_give_the_certificate),
    Case("hidden", wlan=HIDDEN, settings=settings(HIDDEN)),
    Case(
        "dongle",
        state="WaitingForNetwork",
        kind="interface-not-there",
        then=lambda box: box.guest.pull_dongle(),
        undo=lambda box: box.guest.plug_dongle(),
    ),
    Case("no-settings", state="Fault", kind="settings", settings=None),
    Case(
        "wrong-wifi-password",
        state="WaitingForNetwork",
        kind="wifi-wrong-password",
        settings=settings(WPA2.with_passphrase(WRONG + "passphrase")),
    ),
    Case(
        "wrong-robot-password",
        state="WaitingForRobot|WaitingForAuthorization|Fault",
        kind="invalid-login",
        settings=settings(WPA2, password=WRONG + "password"),
    ),
    Case(
        "wrong-stream-key",
        state="Fault",
        kind="key-refused",
        settings=settings(WPA2, key=WRONG + "key"),
    ),
    Case(
        "no-robot",
        state="WaitingForRobot|WaitingForNetwork",
        kind="robot-.*",
        before=lambda box: box.guest.link("robot", up=False),
        undo=lambda box: box.guest.link("robot", up=True),
    ),
    Case("no-internet", state="WaitingForNetwork|Connecting|Fault", kind="no-internet", before=_no_internet),
    Case("captive-portal", state="WaitingForNetwork|Fault", kind="captive-portal", before=_portal),
)


def to_the_gate(box: Booted) -> None:
    """Come to the point where the settings have not been read, and remember it."""
    box.guest.wait_for_shell(sign=GATE)
    # What the import waits for is there, so that no branch waits for it again.
    box.guest.wait_until(
        lambda: box.guest.try_run("mountpoint -q /etc/spotstream")[1] == 0, CASE_SECONDS, "the data partition is there"
    )
    box.guest.save(SNAPSHOT)


def run(case: Case, box: Booted) -> dict[str, float]:
    """Go back to the gate, make the case so, and see how it ends; gives the figures worth keeping."""
    box.guest.load(SNAPSHOT)
    box.guest.link("robot", up=True)
    nft(INTERNET, "flush ruleset")
    seen = len(box.guest.console())
    start = time.monotonic()
    if case.settings is not None:
        _write_settings(box, case.settings)
    if case.before is not None:
        case.before(box)
    box.guest.change_wlan(case.wlan.hostapd)
    box.guest.open_gate()
    if case.then is not None:
        box.wait_for_state("Live", CASE_SECONDS)
        case.then(box)
    _wait_for_end(case, box)
    if case.state != "Live":
        _said_everywhere(case, box, seen)
    if case.undo is not None:
        case.undo(box)
        box.wait_for_state("Live", CASE_SECONDS)
    return {"seconds": time.monotonic() - start, "guest seconds": box.uptime()}


def _write_settings(box: Booted, text: str) -> None:
    """As a person with a PC before this start; by the machine, which may have read the partition already."""
    box.guest.run("mkdir -p /run/card && mount /dev/spotstream/spot-boot /run/card")
    box.guest.write(f"/run/card/{SETTINGS}", text)
    box.guest.run("umount /run/card")


def _wait_for_end(case: Case, box: Booted) -> None:
    last: dict[str, object] = {}

    def ended() -> bool:
        last.clear()
        last.update(box.status())
        looked = (case.state, last.get("state")), (case.kind, last.get("reason_kind"))
        return all(re.fullmatch(pattern, str(value or "")) for pattern, value in looked)

    try:
        box.guest.wait_until(ended, CASE_SECONDS, f"it is {case.state}, {case.kind}")
    except WorldError as error:
        raise WorldError(f"{error}\nlast status: {dict(last)}") from None


def _said_everywhere(case: Case, box: Booted, seen: int) -> None:
    """The sentence stands on the console, in the report and on the page, as it does on D-Bus; and no secret does."""
    sentence = str(box.status()["reason"])
    places: dict[str, Callable[[], str]] = {
        "console": lambda: box.guest.console()[seen:],
        "report": box.report,
        "page": box.page,
        "D-Bus": lambda: box.call("Report"),
    }
    for place, read in places.items():

        def said(read: Callable[[], str] = read) -> bool:
            return _flat(sentence) in _flat(read())

        try:
            box.guest.wait_until(said, 120, f"the {place} says why")
        except WorldError as error:
            raise WorldError(f"{error}\nsought: {sentence}\nin: {read()[-2000:]}") from None
        for secret in SECRETS:
            if secret in read():
                raise WorldError(f"{case.name}: a secret stands in the {place}")


def _flat(text: str) -> str:
    """Words alone: places wrap their lines and quote characters of their own as they need."""
    text = html.unescape(re.sub(r"<[^>]+>|\x1b\[[0-9;?]*[A-Za-z]", " ", text))
    return " ".join(re.findall(r"\w+", text.lower()))
