"""The image file itself, from U-Boot to a picture on the ingest, and what it says when it cannot get there.

A machine is started once for all checks of one kind: an emulated one takes minutes.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import frame_code
import recording
from world import field, guest
from world.booted import BOOT_SECONDS, DAEMON, Booted, booted, image
from world.card import SETTINGS, digest
from world.network import CAMERA_ADDRESS, NGINX_ADDRESS, Layout
from world.program import Program, running
from world.wlan import PASSPHRASE, WPA2

ON_AIR_SECONDS = 30
MEMORY_KIB = 160 * 1024
# Of `systemd-analyze security`: 10 is no protection at all.
EXPOSURE = {"spotstreamd": 1.5, "netsetup": 2.0, "spotstream-healthy": 2.0}
SECRETS = (PASSPHRASE, *field.SECRETS)
WATCHDOG_SECONDS = 30


@pytest.fixture(scope="module")
def folder_of_module(request: pytest.FixtureRequest) -> Path:
    path = Path("/results/world") / request.path.stem / "healthy"
    path.mkdir(parents=True, exist_ok=True)
    for old in path.glob("*.log"):
        old.unlink()
    return path


@pytest.fixture(scope="module")
def live(folder_of_module: Path) -> Iterator[Booted]:
    """The appliance on air: flashed, settings written, plugged in, power on."""
    before = digest(image())
    with booted(folder_of_module, field.settings(WPA2)) as box:
        for sign, what in guest.MILESTONES:
            box.guest.wait_for_console(sign, BOOT_SECONDS, what)
        box.guest.wait_for_shell(BOOT_SECONDS)
        box.wait_for_state("Live")
        yield box
    # The very bytes that are flashed were booted, and they are as they were.
    assert digest(image()) == before


def test_the_image_is_the_one_that_is_shipped():
    sums = dict(reversed(line.split()) for line in (image().parent / "SHA256SUMS").read_text().splitlines())
    assert sums[image().name] == digest(image())


def test_the_ingest_decodes_what_the_camera_sends(live: Booted):
    live.guest.wait_until(
        lambda: live.status()["statistics"].get("live_seconds", 0) > ON_AIR_SECONDS, 300, "it is on air"
    )
    file = live.field.nginx.recording(field.KEY)
    assert recording.decode_errors(file) == ""
    frames = [frame_code.read(luma).frame for _, luma in recording.pictures(file)]
    # Ten a second, and the server writes in pieces.
    assert len(frames) > 7 * ON_AIR_SECONDS
    # As the camera sent them: each once, none left out.
    assert frames == list(range(frames[0], frames[-1] + 1))


def test_no_unit_has_failed_and_none_waits_for_itself(live: Booted):
    live.guest.wait_until(lambda: not live.guest.run("systemctl list-jobs --no-legend"), 300, "all jobs are done")
    assert live.guest.run("systemctl --failed --no-legend --plain") == ""
    journal = live.guest.run("journalctl --boot --no-pager --output=cat _PID=1", 120)
    assert "ordering cycle" not in journal
    assert live.guest.try_run("systemctl is-system-running")[0] == "running"


def test_the_kernel_is_not_tainted(live: Booted):
    assert live.guest.run("cat /proc/sys/kernel/tainted") == "0"


def test_the_root_is_verified_and_read_only(live: Booted):
    mount = live.guest.json("findmnt --json --output SOURCE,FSTYPE,OPTIONS /")["filesystems"][0]
    assert mount["fstype"] == "erofs"
    assert "ro" in mount["options"].split(",")
    table = live.guest.run(f"dmsetup table {mount['source']} || veritysetup status {mount['source']}")
    assert "verity" in table
    assert live.guest.try_run("touch /usr/x")[1] != 0
    status = live.guest.run(f"veritysetup status {mount['source']}")
    assert re.search(r"status:\s+verified", status)
    assert re.search(r"mode:\s+readonly", status)


def test_data_reaches_to_the_end_of_the_card(live: Booted):
    disk = int(live.guest.run("cat /sys/class/block/$(basename $(readlink -f /dev/spotstream/disk))/size"))
    part = live.guest.run("basename $(readlink -f /dev/spotstream/spot-data)")
    start, size = (int(live.guest.run(f"cat /sys/class/block/{part}/{what}")) for what in ("start", "size"))
    # The last 33 sectors are the second partition table, and partitions end on a MiB.
    assert disk - (start + size) < 2 * 2048 + 34
    blocks = int(live.guest.run("stat --file-system --format %b /var")) * 4096
    assert blocks > 0.9 * size * 512


def test_the_settings_are_taken_and_their_secrets_gone_from_the_card(live: Booted):
    stored = live.guest.run("cat /etc/spotstream/spotstream.toml")
    assert all(secret in stored for secret in SECRETS)
    live.guest.run("sync")
    left = live.card.read(SETTINGS).decode()
    assert "Written on a PC" in left
    fat = live.card.fat_bytes()
    assert [secret for secret in SECRETS if secret.encode() in fat] == []


def test_the_report_says_how_it_stands(live: Booted):
    address = live.uplink_address()
    # It is written some time after something has changed, and not at each change.
    live.guest.wait_until(lambda: address in live.report(), 180, "the report names the address")
    said = live.report()
    assert "\r\n" in said
    assert re.search(r"\blive\b", said, re.IGNORECASE)
    assert [secret for secret in SECRETS if secret in said] == []


def test_the_two_networks_are_kept_apart_in_the_kernel(live: Booted):
    def way(to: str) -> str:
        return live.guest.json(f"ip -json route get {to}")[0]["dev"]

    robot = {Layout.PAYLOAD.robot_address, CAMERA_ADDRESS}
    assert {way(address) for address in robot} == {"eth0"}
    assert way(NGINX_ADDRESS) == "wlan0"
    rules = live.guest.json("ip -json -4 rule")
    assert {rule["protocol"] for rule in rules if 100 <= rule["priority"] < 200} == {"83"}
    tables = live.guest.run("nft list tables")
    assert "netsetup" in tables or "spotstream" in tables
    assert live.guest.json("ip -json -6 address show dev eth0") == []


@pytest.mark.parametrize("unit", EXPOSURE)
def test_a_unit_runs_under_its_shipped_sandbox(live: Booted, unit: str, record_property):
    exposure = live.guest.run(f"systemd-analyze security --no-pager {unit}.service | tail -1", 120)
    figure = re.search(r"([0-9]+\.[0-9]+)", exposure)
    assert figure, exposure
    record_property("exposure", figure[1])
    assert float(figure[1]) <= EXPOSURE[unit]
    assert live.guest.run(f"systemctl show --property=DropInPaths --value {unit}.service") == ""


@pytest.mark.parametrize(("unit", "user"), [("spotstreamd", "spotstream"), ("netsetup", "netsetup")])
def test_a_service_runs_as_its_own_user(live: Booted, unit: str, user: str):
    pid = live.guest.run(f"systemctl show --property=MainPID --value {unit}.service")
    assert live.guest.run(f"stat --format %U /proc/{pid}") == user
    assert "NoNewPrivs:\t1" in live.guest.run(f"cat /proc/{pid}/status")


def test_memory_in_use_is_small(live: Booted, record_property):
    lines = dict(line.split(":") for line in live.guest.run("cat /proc/meminfo").splitlines())
    total, available = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    used = total - available - helpers_kib(live)
    record_property("MiB in use", used // 1024)
    assert used <= MEMORY_KIB


def test_rauc_knows_its_slots(live: Booted):
    status = live.guest.json("rauc status --output-format=json", 120)
    assert status["booted"] == "A"
    states = {name: slot for entry in status["slots"] for name, slot in entry.items()}
    assert sum(slot["state"] == "booted" for slot in states.values()) >= 1
    assert status["boot_primary"] is not None


def test_the_slot_is_marked_good(live: Booted):
    live.wait_until_healthy()
    now = live.boot_state()
    assert (now["BOOT_A_LEFT"], now["boot_slot"], now["BOOT_ORDER"]) == ("3", "A", "A")
    assert re.fullmatch("[0-9a-f]{32}", now["machine_id"])


def test_the_page_answers_by_its_name(live: Booted, folder_of_module: Path):
    address = live.uplink_address()
    subprocess.run(["ip", "-netns", "internet", "route", "replace", "224.0.0.0/4", "dev", "eth0"], check=True)
    question = "dns.message.make_query('spotstream.local', 'A'), '224.0.0.251', port=5353, timeout=30"
    ask = f"import dns.message, dns.query; print(dns.query.udp({question}).answer)"
    asked = Program([sys.executable, "-c", ask], log=folder_of_module / "mdns.log", host="internet")
    with running(asked):
        assert asked.wait(60) == 0, asked.text()
    assert address in asked.text()
    page = Program(
        ["ip", "netns", "exec", "internet", "curl", "-sS", "--max-time", "60", f"http://{address}/"],
        log=folder_of_module / "page.log",
    )
    with running(page):
        assert page.wait(90) == 0, page.text()
    assert "Live" in page.text() or "live" in page.text()


def test_everybody_on_the_bus_says_the_same(live: Booted):
    state = live.guest.run(f"busctl --json=short get-property {DAEMON} State")
    assert json.loads(state)["data"].lower() == "live"
    assert live.property("Slot") == "A"
    assert live.property("LastBoot") == ""
    assert f"{live.uplink_address()} on wlan0 (internet)" in live.property("Addresses")
    checks = json.loads(live.call("Doctor"))["checks"]
    assert {check["verdict"] for check in checks} <= {"ok", "unknown"}, checks


def test_the_console_says_how_it_stands(live: Booted):
    live.guest.wait_for_console(r"(?i)\blive\b", 60, "the console says that it is live")
    assert not re.search(r"(?i)login:", live.guest.console())
    assert [secret for secret in SECRETS if secret in live.guest.console()] == []


def test_a_stalled_daemon_is_restarted_by_its_watchdog(live: Booted):
    """The last one of this machine: it takes the stream off the air."""
    show = "systemctl show --property=NRestarts --value spotstreamd.service"
    restarts = int(live.guest.run(show))
    live.guest.run("kill -STOP $(systemctl show --property=MainPID --value spotstreamd.service)")
    start = time.monotonic()
    live.guest.wait_until(lambda: int(live.guest.run(show)) > restarts, 6 * WATCHDOG_SECONDS, "it is restarted")
    assert time.monotonic() - start > WATCHDOG_SECONDS / 2
    live.wait_for_state("Live", 300)


def helpers_kib(box: Booted) -> int:
    """What the access point, the shell and their kernel modules take."""
    # Whoever asks is one of them, and gone by then.
    rss, _ = box.guest.try_run(
        "for p in $(cat /sys/fs/cgroup/system.slice/[ts].service/cgroup.procs); do cat /proc/$p/statm 2>/dev/null; done"
    )
    pages = sum(int(line.split()[1]) for line in rss.splitlines())
    modules = box.guest.run("cat /proc/modules")
    names = ("mac80211_hwsim", "bridge", "stp", "llc")
    sizes = [int(line.split()[1]) for line in modules.splitlines() if line.split()[0] in names]
    return pages * 4 + sum(sizes) // 1024
