"""What netsetup does with a real NetworkManager, and what it puts right when others interfere.

The test world has no WLAN, so that no WiFi profile is planned here; test_manager.py has NetworkManager check all kinds.
"""

import re
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from network_profiles import ROBOT_PROFILE as ROBOT_AS_ASKED
from world.appliance import (
    POLKIT_RULE,
    REPAIR_SECONDS,
    TABLE,
    Appliance,
    Netsetup,
    Status,
    appliance,
    difference,
    profile_uuid,
)
from world.dhcp import DhcpServer
from world.driver import Driver
from world.network import ROBOT, Layout
from world.program import running, wait_until

ROBOT_PROFILE = "spotstream robot"
UPLINK_PROFILE = "spotstream ethernet"
# The seventh repair in a minute is one too many, see netsetup/core/src/repair.rs.
REPAIRS = 6
FLAPS = 100
# How long NetworkManager waits for an answer by DHCP, NetworkManager.conf(5).
DHCP_SECONDS = 45
# More than any apply has.
MOST_STEPS = 60


@pytest.fixture
def layout() -> Layout:
    return Layout.PAYLOAD


@pytest.fixture
def box(folder: Path, layout: Layout) -> Iterator[Appliance]:
    with appliance(folder, layout) as made:
        yield made


@pytest.fixture
def ready(box: Appliance) -> Appliance:
    """A box on which netsetup runs and both sides are ready."""
    box.start()
    box.wait_until_ready()
    return box


def test_the_first_apply_sets_everything_up_and_the_second_changes_nothing(box: Appliance):
    box.host.nmcli("connection", "add", "type", "ethernet", "ifname", "somewhere0", "con-name", "somebody's")
    theirs = box.host.nmcli("connection", "show", "somebody's")
    assert box.command("check").returncode == 1
    first = box.apply().splitlines()
    assert len(first) > 10, first
    assert box.apply() == "nothing to change\n"
    state = box.state()
    assert box.apply() == "nothing to change\n"
    assert not difference(state, box.state())
    done = box.command("check")
    assert (done.returncode, done.stdout) == (0, ""), done
    assert box.checkpoints() == "ao 0"
    assert box.profiles() == ["somebody's", UPLINK_PROFILE, ROBOT_PROFILE]
    assert box.host.nmcli("connection", "show", "somebody's") == theirs


def test_the_robots_profile_takes_nothing_from_the_robot_but_an_address(ready: Appliance):
    shown = ready.host.nmcli("-t", "connection", "show", ROBOT_PROFILE).splitlines()
    wanted = {
        "connection.interface-name:eth0",
        "connection.autoconnect:yes",
        "connection.autoconnect-retries:1",
        "ipv4.method:manual",
        "ipv4.addresses:192.168.50.21/24",
        "ipv4.gateway:",
        "ipv4.dns:",
        "ipv4.never-default:yes",
        f"ipv4.route-table:{TABLE}",
        "ipv6.method:disabled",
    }
    assert wanted <= set(shown), wanted - set(shown)
    files = ready.host.run("sh", "-c", "stat -c '%a %U %n' /run/NetworkManager/system-connections/spotstream*")
    assert [line.split()[:2] for line in files.splitlines()] == [["600", "root"]] * 2
    assert ready.host.run("ls", "/etc/NetworkManager/system-connections") == "", "the card keeps no profile"


def test_who_listens_learns_all_that_show_says(ready: Appliance):
    words = ["busctl", "--json=short", "call", "org.spotstream.Network1", "/org/spotstream/Network1"]
    words += ["org.freedesktop.DBus.Properties", "GetAll", "s", "org.spotstream.Network1"]
    done = subprocess.run(ready.host.as_user("nobody", words), check=True, capture_output=True, text=True)
    for piece in ('"RobotReady":{"type":"b","data":true}', '"UplinkReady":{"type":"b","data":true}', "192.168.50.3"):
        assert piece in done.stdout
    status = ready.show()
    assert status["robot"]["interface"] == "eth0" and status["robot"]["address"] == "192.168.50.3"
    assert status["robot"]["own_address"] == "192.168.50.21/24" and status["robot"]["layout"] == "payload"
    assert status["uplink"]["interface"] == "wlan0" and status["uplink"]["gateway"] == "198.51.100.1"
    assert status["uplink"]["mac"] == ready.box.dongle.mac


def delete_a_rule(box: Appliance) -> None:
    box.host.run("ip", "rule", "del", "to", "192.168.50.3", "priority", "120")


def delete_a_robots_route(box: Appliance) -> None:
    box.host.run("ip", "route", "del", "192.168.50.0/24", "table", TABLE)


def delete_the_unreachable_route(box: Appliance) -> None:
    box.host.run("ip", "route", "del", "unreachable", "default", "table", TABLE)


def delete_the_way_out(box: Appliance) -> None:
    box.host.run("ip", "route", "del", "default")


def delete_the_address(box: Appliance) -> None:
    box.host.run("ip", "address", "del", "192.168.50.21/24", "dev", "eth0")


def delete_the_firewall(box: Appliance) -> None:
    box.host.run("nft", "flush", "ruleset")


def delete_the_profile(box: Appliance) -> None:
    box.host.nmcli("connection", "delete", ROBOT_PROFILE)


def let_packets_be_forwarded(box: Appliance) -> None:
    box.host.run("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=1")


@pytest.mark.parametrize(
    ("interfere", "said"),
    [
        (delete_a_rule, "add rule 120: to 192.168.50.3 lookup robot"),
        (delete_a_robots_route, "192.168.50.0/24 dev eth0"),
        (delete_the_unreachable_route, "add route unreachable default"),
        (delete_the_way_out, "default via 198.51.100.1"),
        (delete_the_address, f'activate "{ROBOT_PROFILE}" on eth0'),
        (delete_the_firewall, "load the firewall"),
        (delete_the_profile, f'add profile "{ROBOT_PROFILE}" on eth0: 192.168.50.21/24'),
        (let_packets_be_forwarded, "configure eth0:"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_a_stranger_takes_away_is_back_in_two_seconds(
    ready: Appliance, interfere: Callable[[Appliance], None], said: str
):
    netsetup = ready.netsetup
    assert netsetup is not None
    before, length = ready.works(), len(netsetup.text())
    interfere(ready)
    netsetup.wait_until(lambda: said in netsetup.text()[length:], REPAIR_SECONDS, f"it does: {said}")
    ready.wait_for_state(before, REPAIR_SECONDS)
    ready.wait_until_ready(REPAIR_SECONDS)
    assert len(netsetup.repairs()) == 1, netsetup.repairs()
    assert said in netsetup.repairs()[0]


def test_who_undoes_it_again_and_again_is_not_fought_but_named(ready: Appliance):
    netsetup = ready.netsetup
    assert netsetup is not None
    wanted = ready.state()["rules"]
    for _ in range(REPAIRS):
        delete_a_rule(ready)
        wait_until(lambda: ready.state()["rules"] == wanted, REPAIR_SECONDS, "the rule is back")
    delete_a_rule(ready)
    status = ready.wait_for(lambda status: bool(status["reason"]), 5, "it says why it waits")
    assert status["reason"]["kind"] == "fought-over"
    assert "add rule 120: to 192.168.50.3" in status["reason"]["sentence"]
    assert "another program" in ready.command("show").stdout
    # A look at the last change, and the answer of the internet, may still be under way.
    rested = at_rest(netsetup)
    time.sleep(3)
    assert len(netsetup.repairs()) == REPAIRS
    assert netsetup.wakeups() - rested < 20, "it waits, it does not turn"


def test_a_box_that_is_plugged_into_the_other_port_and_back_notices(ready: Appliance):
    before = ready.state()
    for layout in (Layout.REAR, Layout.PAYLOAD):
        ready.network.replug(layout)
        found = ready.wait_for(lambda s, at=layout: s["robot"]["address"] == at.robot_address, 15, "it is found")
        assert found["robot"]["layout"] == layout.name.lower()
        ready.wait_until_ready()
        own = ready.show()["robot"]["own_address"].split("/")[0]
        assert own == layout.box_address(1)
        assert ready.addresses("eth0") == [own]
        assert ready.way(layout.robot_address)["prefsrc"] == own
    ready.wait_for_state(before, 5)


def test_who_only_looks_does_not_undo_what_is_under_way(box: Appliance):
    with Driver(box.host) as driver:
        driver.ask("checkpoint", ["eth0"])
        driver.ask("add", ROBOT_AS_ASKED)
        before = box.checkpoints()
        assert before.startswith("ao 1 ")
        assert box.show() and box.command("check").returncode == 1
        assert box.checkpoints() == before
        assert box.profiles() == [ROBOT_PROFILE]
        # The next one that does something has the place to itself.
        box.apply()
    assert box.checkpoints() == "ao 0"


def test_an_own_address_that_somebody_has_is_left_to_them(box: Appliance):
    on_the_robots_side(box, "address", "add", "192.168.50.21/24", "dev", "eth0")
    box.start()
    box.wait_until_ready()
    assert box.addresses("eth0") == ["192.168.50.20"]


def test_our_robot_side_address_moves_when_the_uplink_leases_the_same(ready: Appliance):
    assert ready.addresses("eth0") == ["192.168.50.21"]
    ready.box.dongle.pull()
    ready.wait_for(lambda status: not status["uplink"]["ready"], 10, "the uplink is down")
    ready.campus.move("192.168.50.0/24", f"--dhcp-host={ready.box.dongle.mac},192.168.50.21")
    ready.box.dongle.plug()
    ready.wait_for(lambda s: s["uplink"]["address"] == "192.168.50.21/24" and s["uplink"]["ready"], 20, "it is leased")
    ready.wait_until_ready()
    assert (ready.addresses("wlan0"), ready.addresses("eth0")) == (["192.168.50.21"], ["192.168.50.20"])
    assert ready.way("192.168.50.3")["prefsrc"] == "192.168.50.20"
    assert ready.way("192.168.50.3", "oif", "wlan0")["prefsrc"] == "192.168.50.21"


def test_a_killed_manager_is_followed_when_it_is_back(ready: Appliance):
    before = ready.state()
    ready.host.stop_manager(signal.SIGKILL)
    gone = ready.wait_for(lambda status: bool(status["reason"]), 5, "it notices")
    assert "NetworkManager" in gone["reason"]["sentence"]
    assert ready.state_of_kernel() == {key: before[key] for key in ready.state_of_kernel()}, "what was set up stays"
    ready.host.start_manager()
    ready.wait_until_ready()
    ready.wait_for_state(before, 5)


def test_a_dongle_that_was_pulled_out_and_put_back_is_used_again(ready: Appliance):
    before = ready.state()
    ready.box.dongle.take_away()
    gone = ready.wait_for(lambda status: not status["uplink"]["ready"], 5, "it notices")
    assert gone["robot"]["ready"] and "wlan0" in gone["uplink"]["reason"]["sentence"]
    ready.box.dongle.make()
    ready.wait_until_ready()
    ready.wait_for_state(before, 5)


def test_an_uplink_that_gives_no_address_is_named_also_while_it_is_asked_again(ready: Appliance):
    ready.campus.stop()
    ready.box.dongle.pull()
    ready.wait_for(lambda status: not status["uplink"]["ready"], 10, "the uplink is down")
    ready.box.dongle.plug()

    def is_named(status: Status) -> bool:
        return (status["uplink"]["reason"] or {}).get("kind") == "uplink-no-address"

    ready.wait_for(is_named, DHCP_SECONDS + 15, "it says why")
    # NetworkManager begins anew meanwhile.
    for _ in range(20):
        status = ready.show()
        assert is_named(status), status
        time.sleep(0.5)
    ready.campus.start()
    ready.wait_until_ready(2 * DHCP_SECONDS + 15)
    assert ready.show()["uplink"]["reason"] is None


def test_an_apply_that_networkmanager_refuses_is_undone_and_named(box: Appliance):
    # Somebody's profile has the UUID that ours is to have: the second of two profiles cannot be added.
    words = ["type", "ethernet", "ifname", "somewhere0", "con-name", "somebody's"]
    box.host.nmcli("connection", "add", *words, "connection.uuid", profile_uuid(UPLINK_PROFILE))
    done = box.command("apply")
    assert done.returncode == 1, done
    assert len(done.stderr.splitlines()) == 1 and "Connection" not in done.stderr, done.stderr
    assert box.profiles() == ["somebody's"], "what was added before is undone"
    assert box.addresses("eth0") == []
    assert box.checkpoints() == "ao 0"
    box.start()
    status = box.wait_for(lambda status: bool(status["reason"]), 10, "it says why")
    assert status["reason"]["sentence"] in done.stderr
    box.host.nmcli("connection", "delete", "somebody's")
    box.wait_until_ready(30)


def test_a_refused_call_ends_as_a_plain_sentence(box: Appliance):
    assert box.host.polkit is not None
    box.host.polkit.stop()
    box.host.run("rm", POLKIT_RULE)
    box.host.start_polkit()
    netsetup = box.start()
    status = box.wait_for(lambda status: bool(status["reason"]), 10, "it says why")
    sentence = status["reason"]["sentence"]
    assert "NetworkManager" in sentence and re.search("not allow|refuse|denied|authori", sentence), sentence
    assert "org.freedesktop" not in sentence and "Error" not in sentence
    assert sentence in box.command("show").stdout
    assert sentence in netsetup.text()
    assert box.profiles() == [] and box.checkpoints() == "ao 0"
    # It asks again, but ever more rarely.
    before = netsetup.wakeups()
    time.sleep(3)
    assert netsetup.wakeups() - before < 200


def test_a_user_that_may_nothing_is_told_so_and_changes_nothing(box: Appliance):
    before = box.state()
    words = [box.program, "apply"]
    done = subprocess.run(box.host.as_user("nobody", words), check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not difference(before, box.state())


def test_who_answers_at_no_address_may_still_give_us_one(box: Appliance, folder: Path):
    on_the_robots_side(box, "address", "flush", "dev", "eth0")
    server = DhcpServer(folder / "robot-dhcp", "192.168.77.0/24", ROBOT)
    with running(server.start()):
        box.start()
        status = box.wait_for(lambda status: status["robot"]["layout"] == "dhcp", 45, "it asks by DHCP")
        status = box.wait_until_ready()
        assert status["robot"]["own_address"].startswith("192.168.77.")
        assert all(route.get("dev") != "eth0" for route in box.ip("-4", "route")), "nothing of it in the main table"
        assert box.way("203.0.113.10")["dev"] == "wlan0"
    assert "DHCPDISCOVER" in server.log_text() and "DHCPOFFER" in server.log_text()


def test_a_hundred_flaps_of_each_cable_leave_everything_as_it_was(ready: Appliance):
    before = ready.state()
    for wire in (ready.box.cable, ready.box.dongle):
        for _ in range(FLAPS):
            wire.pull()
            wire.plug()
        ready.wait_until_ready(30)
        ready.wait_for_state(before, 10)
    status = ready.show()
    assert status["reason"] is None, status


@pytest.mark.parametrize("replugged", [False, True], ids=["first-apply", "replugged"])
def test_a_power_cut_after_any_step_is_made_good_by_the_next_start(box: Appliance, replugged: bool):
    box.apply()
    wanted = box.state()
    if replugged:
        box.network.replug(Layout.REAR)
        box.apply()
        wanted = box.state()
    cuts = 0
    while True:
        if replugged:
            box.network.replug(Layout.PAYLOAD)
            box.apply()
            box.network.replug(Layout.REAR)
        else:
            box.forget()
        done = box.command("apply", env={"NETSETUP_DIE_AFTER": str(cuts)})
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done
        box.apply()
        box.wait_for_state(wanted, 5)
        cuts += 1
        assert cuts < MOST_STEPS
    assert not difference(wanted, box.state())
    assert cuts > (3 if replugged else 10), "few points were tried"


WIFI = {
    "lab": 'ssid = "Lab"\npassphrase = "{}"',
    "home": 'ssid = "Home"\nsecurity = "wpa3"\npassphrase = "{}"',
    "eduroam": 'ssid = "eduroam"\nidentity = "me@example.edu"\npassword = "{}"\nserver_name = "radius.example.edu"',
    "plant": 'ssid = "Plant"\nidentity = "spot"\nmethod = "tls"\ncertificate = "/c.pem"\nkey = "/k.pem"\n'
    'key_password = "{}"\nserver_name = "radius.example.com"',
}


@pytest.mark.parametrize("mistake", ["", "too-long", "two-lines", "unknown-key"])
def test_no_secret_is_ever_said_not_even_one_with_a_mistake_in_it(box: Appliance, mistake: str):
    planted = {name: f"planted-{secrets.token_hex(12)}" for name in WIFI}
    written = {
        "": "{}",
        "too-long": "{}" + 150 * "x",
        "two-lines": "{0}\\n{0}",
        "unknown-key": '{0}"\nsecret = "{0}',
    }[mistake]
    sections = (text.format(written.format(planted[name])) for name, text in WIFI.items())
    box.configure("".join(f"\n[[wifi]]\n{section}\n" for section in sections))
    commands = (["apply"], ["show"], ["show", "--json"], ["check"])
    before = [box.command(*words) for words in commands]
    netsetup = box.start()
    if mistake:
        reason = box.wait_for(lambda status: bool(status["reason"]), 10, "it names the mistake")["reason"]
        assert "wifi." in reason["sentence"], "the mistake that was made"
        assert all(done.returncode for done in before)
    else:
        box.wait_until_ready()
    after = [box.command(*words) for words in commands]
    texts = [text for done in before + after for text in (done.stdout, done.stderr)]
    texts.append(box.host.run("busctl", "introspect", "org.spotstream.Network1", "/org/spotstream/Network1"))
    assert box.stop() == 0
    texts.append(netsetup.text())
    for secret in (*planted.values(), "planted-stream-key", "planted-robot-password"):
        assert not [text for text in texts if secret in text]


def test_a_healthy_run_logs_no_error_and_no_repair(ready: Appliance):
    time.sleep(1)
    assert ready.stop() == 0
    assert ready.netsetup is not None
    text = ready.netsetup.text()
    assert [line for line in text.splitlines() if " ERROR " in line or "panicked" in line] == []
    assert ready.netsetup.repairs() == []


def at_rest(netsetup: Netsetup) -> int:
    """The wake-ups of a service that has had none for half a second."""
    seen = [netsetup.wakeups()]

    def quiet() -> bool:
        time.sleep(0.5)
        seen.append(netsetup.wakeups())
        return seen[-1] == seen[-2]

    netsetup.wait_until(quiet, 10, "it rests")
    return seen[-1]


def on_the_robots_side(box: Appliance, *words: str) -> None:
    """`ip` on the robot's host."""
    subprocess.run(["ip", "-netns", ROBOT, *words], check=True)
