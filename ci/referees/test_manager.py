"""netsetup's hands on the real NetworkManager, with the real polkit and bus policies, as the unit's user."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from network_profiles import PASSPHRASE, PROFILES, ROBOT_BY_DHCP, ROBOT_PROFILE, UPLINK, WPA2, wifi
from world.dhcp import DhcpServer
from world.driver import Driver
from world.manager import DISTS, ManagedHost, managed
from world.network import ROBOT, Network
from world.program import wait_until

IN_MEMORY = "/run/NetworkManager/system-connections"
ON_DISK = "/etc/NetworkManager/system-connections"
UNREACHABLE = ("unreachable", "default", "table", "21328", "metric", "4294967294", "proto", "83")


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def host(folder: Path, network: Network) -> Iterator[ManagedHost]:
    with managed(folder, network.boxes[0]) as host:
        yield host


@pytest.fixture
def driver(host: ManagedHost) -> Iterator[Driver]:
    with Driver(host) as driver:
        yield driver


@pytest.fixture
def uplink(folder: Path, network: Network) -> Iterator[DhcpServer]:
    server = DhcpServer(folder / "dhcp")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def certificates(host: ManagedHost) -> None:
    """A certificate, its key, and the key with a password."""
    host.run("mkdir", "/etc/eap")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=test"]
    host.run(*make, "-keyout", "/etc/eap/key.pem", "-out", "/etc/eap/ca.pem")
    lock = ["openssl", "pkcs8", "-topk8", "-in", "/etc/eap/key.pem", "-out", "/etc/eap/locked.pem"]
    host.run(*lock, "-passout", f"pass:{PASSPHRASE}")


def use(driver: Driver, *profiles: dict) -> None:
    """Add profiles and wait until each has its device."""
    steps = [step for one in profiles for step in (("add", one), ("activate", [driver.uuid(one), one["interface"]]))]
    driver.change(*steps)
    for one in profiles:
        wait_for(driver, one["interface"], 100)


def wait_for(driver: Driver, device: str, state: int) -> float:
    return wait_until(lambda: driver.device(device).get("state") == state, 10, f"{device} is in state {state}")


def addresses(host: ManagedHost, device: str) -> list[str]:
    shown = json.loads(host.run("ip", "-json", "-4", "address", "show", "dev", device))
    return [address["local"] for link in shown for address in link.get("addr_info", [])]


def routes(host: ManagedHost, table: str) -> list[dict]:
    shown = host.try_run("ip", "-json", "-details", "-4", "route", "show", "table", table).stdout
    return json.loads(shown or "[]")


def files(host: ManagedHost, folder: str) -> dict[str, str]:
    """Each file of a folder: its mode, owner and content."""
    names = host.run("ls", folder).splitlines()
    return {
        name: host.run("stat", "-c", "%a %U", f"{folder}/{name}") + host.run("cat", f"{folder}/{name}")
        for name in names
        if name != "lo.nmconnection"
    }


def of(profiles: list[dict], uuid: str) -> dict:
    return next(profile for profile in profiles if profile["uuid"] == uuid)


def test_networkmanager_starts_within_ten_seconds_and_does_nothing_by_itself(host: ManagedHost):
    host.stop_manager()
    assert host.start_manager() < 10
    shown = host.nmcli("-t", "-f", "DEVICE,TYPE,STATE", "device").splitlines()
    assert {"eth0:ethernet:disconnected", "wlan0:ethernet:disconnected"} <= set(shown)
    # The state comes before any profile would have been made by itself and used.
    assert host.nmcli("-t", "-f", "NAME", "connection").split() == ["lo"]


def test_a_stranger_may_look_and_not_touch(host: ManagedHost):
    def nmcli(*words: str) -> subprocess.CompletedProcess[str]:
        command = host.as_user("nobody", ["nmcli", *words])
        return subprocess.run(command, check=False, capture_output=True, text=True)

    assert "eth0" in nmcli("device").stdout
    for words in (
        ("connection", "add", "type", "ethernet", "ifname", "eth0", "con-name", "theirs"),
        ("networking", "off"),
    ):
        done = nmcli(*words)
        assert done.returncode != 0, words
        assert "privileges" in done.stderr.lower() or "not authorized" in done.stderr.lower(), done.stderr
    path = host.nmcli("-g", "GENERAL.DBUS-PATH", "device", "show", "eth0").strip()
    words = ["busctl", "set-property", "org.freedesktop.NetworkManager", path, "org.freedesktop.NetworkManager.Device"]
    command = host.as_user("nobody", [*words, "Managed", "b", "false"])
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "authorized" in done.stderr.lower() or "privileges" in done.stderr.lower(), done.stderr


def test_netsetup_may_do_what_it_needs_and_no_more(host: ManagedHost):
    command = host.as_netsetup(["nmcli", "-t", "general", "permissions"])
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    allowed = {line.split(":")[0].split("NetworkManager.")[1] for line in said.splitlines() if line.endswith(":yes")}
    assert allowed == {"checkpoint-rollback", "network-control", "settings.modify.system"}


def test_without_the_polkit_rule_the_refusal_is_a_plain_sentence(folder: Path, network: Network):
    without = folder / "dist"
    subprocess.run(["cp", "-r", DISTS[1], without], check=True)
    (without / "usr/share/polkit-1/rules.d/50-netsetup.rules").unlink()
    with managed(folder, network.boxes[0], (DISTS[0], without)) as host, Driver(host) as driver:
        assert driver.observe(ROBOT_PROFILE)["profiles"] == []
        answer = driver.try_ask("checkpoint", [])
    assert answer["kind"] == "manager-refused"
    assert not answer["is-retryable"]
    assert answer["sentence"].startswith(
        "failed to begin a change of the network: NetworkManager does not let this user do that ("
    )


@pytest.mark.usefixtures("certificates")
@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_stored_as_asked_and_read_back_the_same(host: ManagedHost, driver: Driver, name: str):
    profile, wanted = PROFILES[name]
    driver.change(("add", profile))
    uuid = driver.uuid(profile)
    others = [other for other, _ in PROFILES.values() if other != profile]
    (stored,) = driver.observe(*others, profile)["profiles"]
    assert stored == {"uuid": uuid, "readable": True, "known": len(others)}
    said = {key: host.nmcli("-s", "-g", key, "connection", "show", uuid).strip() for key in wanted}
    assert said == wanted
    before = files(host, IN_MEMORY)
    (kept,) = before.values()
    assert kept.startswith("600 root\n")
    assert files(host, ON_DISK) == {}
    # Said again, it is the same; said by a NetworkManager that reads it from its file, too.
    driver.change(("update", profile))
    assert files(host, IN_MEMORY) == before
    host.stop_manager()
    host.start_manager()
    assert driver.observe(profile)["profiles"] == [{"uuid": uuid, "readable": True, "known": 0}]
    driver.kill()
    logs = {log.name: log.read_text(errors="replace") for log in host.folder.glob("*.log")}
    assert {"NetworkManager.log", "dbus.log", "polkitd.log", "driver.log"} <= set(logs)
    assert [name for name, text in logs.items() if PASSPHRASE in text] == []


def test_a_wrong_profile_is_refused_with_a_reason_that_holds_no_secret(driver: Driver):
    driver.ask("checkpoint", [])
    answer = driver.try_ask("add", wifi("lab", {"wpa2": {"passphrase": "planted"}}))
    assert answer["kind"] == "profile-invalid"
    assert not answer["is-retryable"]
    assert "'spotstream wifi lab'" in answer["sentence"]
    assert "psk" in answer["sentence"]
    assert "planted" not in answer["sentence"]


@pytest.mark.parametrize(
    "words",
    [
        ("connection.autoconnect", "no"),
        ("802-11-wireless-security.psk", "another-passphrase"),
        ("ipv4.dns", "192.0.2.53"),
        ("802-11-wireless.hidden", "yes"),
        # Nothing but its place: it is on the disk now, with its secret.
        ("connection.id", "spotstream wifi lab"),
    ],
)
def test_what_a_stranger_changed_is_seen_and_put_right(host: ManagedHost, driver: Driver, words: tuple[str, str]):
    uuid = driver.uuid(WPA2)
    driver.change(("add", WPA2))
    before = files(host, IN_MEMORY)
    host.nmcli("connection", "modify", uuid, *words)
    (stored,) = driver.observe(WPA2)["profiles"]
    assert stored["uuid"] == uuid
    assert stored["known"] is None
    driver.change(("update", WPA2))
    assert driver.observe(WPA2)["profiles"] == [{"uuid": uuid, "readable": True, "known": 0}]
    assert files(host, IN_MEMORY) == before
    assert files(host, ON_DISK) == {}


def test_other_peoples_profiles_are_left_alone(host: ManagedHost, driver: Driver):
    host.nmcli("connection", "add", "type", "ethernet", "ifname", "wlan0", "con-name", "theirs", "autoconnect", "no")
    theirs = files(host, ON_DISK)
    assert len(theirs) == 1
    use(driver, ROBOT_PROFILE)
    assert [profile["uuid"] for profile in driver.observe()["profiles"]] == [driver.uuid(ROBOT_PROFILE)]
    driver.ask("checkpoint", [])
    driver.ask("add", WPA2)
    # Theirs, made while ours is under way.
    host.nmcli("connection", "add", "type", "ethernet", "ifname", "wlan0", "con-name", "new", "autoconnect", "no")
    driver.ask("roll-back")
    driver.change(("delete", driver.uuid(ROBOT_PROFILE)))
    after = files(host, ON_DISK)
    assert len(after) == 2
    assert theirs.items() <= after.items()
    assert files(host, IN_MEMORY) == {}


def test_a_change_that_fails_is_undone(host: ManagedHost, driver: Driver):
    use(driver, ROBOT_PROFILE)
    driver.change(("add", WPA2))
    before = files(host, IN_MEMORY)
    uuid = driver.uuid(ROBOT_PROFILE)
    moved = {"interface": "eth0", "kind": {"robot": {"static": "192.168.50.20/24"}}}
    driver.ask("checkpoint", ["eth0", "wlan0"])
    driver.ask("update", moved)
    driver.ask("activate", [uuid, "eth0"])
    wait_until(lambda: addresses(host, "eth0") == ["192.168.50.20"], 5, "the new address is there")
    driver.ask("add", UPLINK)
    driver.ask("delete", driver.uuid(WPA2))
    assert "sentence" in driver.try_ask("add", wifi("bad", {"wpa2": {"passphrase": "short"}}))
    driver.ask("roll-back")
    wait_until(lambda: addresses(host, "eth0") == ["192.168.50.21"], 5, "the old address is back")
    wait_for(driver, "eth0", 100)
    assert files(host, IN_MEMORY) == before
    assert files(host, ON_DISK) == {}


def test_what_was_begun_before_a_kill_is_undone_by_the_next_start(host: ManagedHost, driver: Driver):
    use(driver, ROBOT_PROFILE)
    moved = {"interface": "eth0", "kind": {"robot": {"static": "192.168.50.20/24"}}}
    driver.ask("checkpoint", ["eth0"])
    driver.ask("update", moved)
    driver.ask("activate", [driver.uuid(moved), "eth0"])
    driver.kill()
    with Driver(host) as next_life:
        assert next_life.ask("roll-back-leftovers") == {"count": 1}
        wait_until(lambda: addresses(host, "eth0") == ["192.168.50.21"], 5, "the old address is back")
        assert next_life.observe(ROBOT_PROFILE)["profiles"][0]["known"] == 0
        assert next_life.ask("roll-back-leftovers") == {"count": 0}


def test_what_was_begun_before_a_kill_is_undone_when_nobody_comes_back(host: ManagedHost, driver: Driver):
    use(driver, ROBOT_PROFILE)
    moved = {"interface": "eth0", "kind": {"robot": {"static": "192.168.50.20/24"}}}
    driver.ask("checkpoint", ["eth0"])
    driver.ask("update", moved)
    driver.ask("activate", [driver.uuid(moved), "eth0"])
    wait_until(lambda: addresses(host, "eth0") == ["192.168.50.20"], 5, "the new address is there")
    driver.kill()
    wait_until(lambda: addresses(host, "eth0") == ["192.168.50.21"], 32, "the old address is back")


def test_somebody_elses_checkpoint_is_neither_undone_nor_broken(host: ManagedHost, driver: Driver):
    manager = "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager", "org.freedesktop.NetworkManager"
    host.run("busctl", "call", *manager, "CheckpointCreate", "aouu", "0", "60", "0")
    assert driver.ask("roll-back-leftovers") == {"count": 0}
    answer = driver.try_ask("checkpoint", ["eth0"])
    assert answer["kind"] == "manager-failed"
    assert answer["is-retryable"]


def test_a_killed_networkmanager_takes_nothing_along(host: ManagedHost, driver: Driver, uplink: DhcpServer):
    use(driver, ROBOT_PROFILE, UPLINK)
    driver.change(("add", WPA2))
    stored = driver.observe(ROBOT_PROFILE, UPLINK, WPA2)["profiles"]
    assert sorted(profile["known"] for profile in stored) == [0, 1, 2]
    before = addresses(host, "eth0"), addresses(host, "wlan0"), routes(host, "main"), routes(host, "21328")
    host.stop_manager(signal.SIGKILL)
    assert driver.observe() is None
    assert driver.try_ask("checkpoint", [])["kind"] == "manager-absent"
    host.start_manager()
    wait_for(driver, "eth0", 100)
    wait_for(driver, "wlan0", 100)
    assert driver.observe(ROBOT_PROFILE, UPLINK, WPA2)["profiles"] == stored
    assert (addresses(host, "eth0"), addresses(host, "wlan0"), routes(host, "main"), routes(host, "21328")) == before


def test_the_robots_route_stands_in_its_own_table_beside_ours(host: ManagedHost, driver: Driver):
    host.run("ip", "route", "add", *UNREACHABLE)
    use(driver, ROBOT_PROFILE)
    assert routes(host, "main") == []
    ours, prefix = routes(host, "21328")
    assert ours["type"] == "unreachable"
    assert {key: prefix[key] for key in ("dst", "dev", "protocol", "scope", "prefsrc", "metric")} == {
        "dst": "192.168.50.0/24",
        "dev": "eth0",
        "protocol": "kernel",
        "scope": "link",
        "prefsrc": "192.168.50.21",
        "metric": 100,
    }
    # Pulled and put back, and used again: ours stays all the time.
    for state in ("down", "up"):
        subprocess.run(["ip", "link", "set", f"{host.box.host}-eth0", state], check=True)
        wait_for(driver, "eth0", 20 if state == "down" else 100)
        assert ours in routes(host, "21328")
    driver.change(("activate", [driver.uuid(ROBOT_PROFILE), "eth0"]))
    assert routes(host, "21328") == [ours, prefix]
    assert host.run("sysctl", "-n", "net.ipv6.conf.eth0.disable_ipv6").strip() == "1"


def test_what_a_stranger_deleted_is_put_back_without_letting_go_of_the_link(
    host: ManagedHost, driver: Driver, uplink: DhcpServer
):
    use(driver, ROBOT_PROFILE, UPLINK)

    def kernel() -> list:
        return [addresses(host, "eth0"), addresses(host, "wlan0"), routes(host, "main"), routes(host, "21328")]

    def activations() -> int:
        return host.manager.text().count("Activation: starting connection")

    before, begun = kernel(), activations()
    host.run("ip", "address", "flush", "dev", "wlan0", "scope", "global")
    host.run("ip", "address", "del", "192.168.50.21/24", "dev", "eth0")
    for profile in (ROBOT_PROFILE, UPLINK):
        driver.change(("activate", [driver.uuid(profile), profile["interface"]]))
    wait_until(lambda: kernel() == before, 2, "everything is back")
    host.run("ip", "route", "del", "default")
    host.run("ip", "route", "del", "192.168.50.0/24", "table", "21328")
    for profile in (ROBOT_PROFILE, UPLINK):
        driver.change(("activate", [driver.uuid(profile), profile["interface"]]))
    wait_until(lambda: kernel() == before, 2, "everything is back")
    assert activations() == begun > 0


def test_an_address_that_somebody_has_is_not_taken_and_not_asked_for_again_and_again(host: ManagedHost, driver: Driver):
    taken = {"interface": "eth0", "kind": {"robot": {"static": "192.168.50.3/24"}}}

    def refusals() -> int:
        return host.manager.text().count("192.168.50.3 cannot be configured because it is already in use")

    driver.change(("add", taken), ("activate", [driver.uuid(taken), "eth0"]))
    wait_for(driver, "eth0", 30)
    driver.ask("quiet", 500)
    count = refusals()
    assert 1 <= count <= 3
    assert addresses(host, "eth0") == []
    # Silence goes on; plugged in again, it is tried again.
    assert not driver.ask("changed", 2000)["changed"]
    for state in ("down", "up"):
        subprocess.run(["ip", "link", "set", f"{host.box.host}-eth0", state], check=True)
        wait_for(driver, "eth0", 20 if state == "down" else 30)
    wait_until(lambda: refusals() > count, 5, "it is tried again")


def test_a_lease_is_observed_and_its_change_is_a_notice(host: ManagedHost, driver: Driver, uplink: DhcpServer):
    uplink.stop()
    uplink.start(renew_seconds=2)
    use(driver, UPLINK)
    device = driver.device("wlan0")
    assert device["gateway"] == "198.51.100.1"
    assert device["name-servers"] == ["198.51.100.1"]
    assert device["dhcp-server"] == "198.51.100.1"
    driver.ask("quiet", 500)
    uplink.move("192.168.50.0/24", renew_seconds=2)
    assert driver.ask("changed", 8000)["changed"]
    wait_until(lambda: driver.device("wlan0").get("gateway") == "192.168.50.1", 10, "the new lease is there")


def test_the_robots_dhcp_server_gives_an_address_and_nothing_else(host: ManagedHost, driver: Driver, folder: Path):
    server = DhcpServer(folder / "dhcp", "192.168.50.0/24", host=ROBOT, servers=("192.168.50.3",))
    program = server.start("--dhcp-option=option:classless-static-route,0.0.0.0/1,192.168.50.3")
    try:
        use(driver, ROBOT_BY_DHCP)
        assert driver.device("eth0")["dhcp-server"] == "192.168.50.3"
        assert routes(host, "main") == []
        assert [route["dst"] for route in routes(host, "21328")] == ["192.168.50.0/24"]
        assert "192.168.50.3" not in host.run("cat", "/etc/resolv.conf")
        assert "client provides name" not in program.text()
    finally:
        server.stop()


def test_a_device_that_was_left_alone_is_taken_over(host: ManagedHost, driver: Driver):
    host.nmcli("device", "set", "eth0", "managed", "no")
    wait_for(driver, "eth0", 10)
    driver.change(("manage", "eth0"))
    wait_for(driver, "eth0", 30)
    driver.ask("checkpoint", [])
    answer = driver.try_ask("manage", "eth7")
    assert answer == {
        "kind": "manager-no-device",
        "sentence": "failed to take over 'eth7': NetworkManager has no device 'eth7'",
        "is-retryable": True,
    }


def test_notices_come_for_what_matters_and_silence_is_silent(host: ManagedHost, driver: Driver, uplink: DhcpServer):
    use(driver, ROBOT_PROFILE, UPLINK)

    def notice_of(*words: str) -> None:
        driver.ask("quiet", 500)
        host.run(*words)
        assert driver.ask("changed", 2000)["changed"], words

    notice_of("nmcli", "device", "disconnect", "eth0")
    notice_of("nmcli", "connection", "add", "type", "ethernet", "con-name", "theirs", "autoconnect", "no")
    notice_of("nmcli", "connection", "modify", "theirs", "ipv4.method", "disabled")
    notice_of("nmcli", "connection", "delete", "theirs")
    driver.ask("quiet", 500)
    assert not driver.ask("changed", 3000)["changed"]
    start = time.monotonic()
    host.stop_manager(signal.SIGKILL)
    assert driver.ask("changed", 2000)["changed"]
    assert time.monotonic() - start < 2
