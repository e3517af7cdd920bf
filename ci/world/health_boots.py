"""The cases of health that need starts of their own."""

import random
import time
from collections.abc import Callable
from pathlib import Path

from world.booted import BOOT_SECONDS, Booted, booted
from world.field import settings
from world.program import WorldError
from world.wlan import WPA2

TIMES = 10
# So long it may take until somebody has told the machine the time; further than this from the host's, nobody has.
CLOCK_SECONDS = 60
# From the boot script's last line on: decompressing, probing, the initrd, and at most the first of userspace.
CUT_SECONDS = 10
# Of journald.conf.d, and what one more file may hold.
JOURNAL_KIB = (64 + 8) * 1024
# More than the cap, in lines that no compression makes small.
FLOOD = "head -c 80M /dev/urandom | base64 --wrap=3000"
WEEK_MINUTES = 7 * 24 * 60
WATCH_MINUTES = 3
WRITE_SECONDS = 1800


def a_card_exactly_as_large_as_the_image(folder: Path) -> None:
    """There is nothing to grow into, and all is well."""
    with booted(folder, settings(WPA2), card_size="") as box:
        _to_live(box)
        _no_failed_unit(box)


def a_clock_at_1970(folder: Path) -> None:
    """A box without a battery: the robot tells the time."""
    with booted(folder, settings(WPA2), words=("-rtc", "base=1970-01-01")) as box:
        _to_live(box)
        read = "timedatectl show --property=NTPSynchronized --value"
        box.guest.wait_until(lambda: box.guest.run(read) == "yes", CLOCK_SECONDS, "the clock is synchronized")
        # systemd itself begins at the date of the build, which is no proof of anything.
        off = abs(int(box.guest.run("date +%s")) - time.time())
        _expect(off < CLOCK_SECONDS, f"the clock is off by {off:.0f} s")


def an_offline_boot(folder: Path) -> None:
    """No robot, no WiFi, no internet: it is healthy all the same, and says what it waits for."""
    with booted(folder, settings(WPA2), offline=True) as box:
        box.guest.link("robot", up=False)
        box.guest.wait_for_shell(BOOT_SECONDS)
        box.wait_until_healthy()
        box.wait_for_state("WaitingForNetwork")
        _no_failed_unit(box)


def ten_cold_boots(folder: Path) -> None:
    """Power on, healthy, power cut; ten times: always slot A."""
    with booted(folder, settings(WPA2)) as box:
        for _ in range(TIMES):
            box.guest.wait_for_shell(BOOT_SECONDS)
            box.wait_until_healthy()
            _in_slot_a(box)
            box.guest.off()
            box.guest.on()


def ten_cuts_before_userspace(folder: Path) -> None:
    """Power cut somewhere between the boot script and userspace, ten times: each try is counted, of slot A alone."""
    dice = random.Random(83)
    with booted(folder, settings(WPA2)) as box:
        for start in range(TIMES):
            told = box.guest.wait_for_console(
                r"spotstream: slot (\w), tries left after this one: (\d)", BOOT_SECONDS, "the boot script has counted"
            )
            # When none is left, all three are given back.
            wanted = ("A", "210"[start % 3])
            _expect(told.groups() == wanted, f"start {start + 1} is of slot and tries {told.groups()}, not {wanted}")
            # No event marks the moment of a cut.
            time.sleep(dice.uniform(0, CUT_SECONDS))
            box.guest.off()
            box.guest.on()
        box.guest.wait_for_shell(BOOT_SECONDS)
        box.wait_until_healthy()
        _in_slot_a(box)


def a_week_of_journal(folder: Path) -> None:
    """As many lines as a week on air would write, and then a flood: the journal keeps within its cap."""
    with booted(folder, settings(WPA2)) as box:
        _to_live(box)
        box.wait_until_healthy()
        count = "journalctl --boot --quiet --no-pager --output=cat | wc -l"
        before, start = int(box.guest.run(count, 120)), box.uptime()
        box.guest.wait_until(
            lambda: box.uptime() > start + WATCH_MINUTES * 60, BOOT_SECONDS, "some minutes have passed"
        )
        grown = int(box.guest.run(count, 120)) - before
        lines = max(grown, 1) * WEEK_MINUTES // WATCH_MINUTES
        print(f"{grown} lines in {WATCH_MINUTES} minutes, {lines} in a week", flush=True)
        line = "a line as long as those that the services write about a change of their state, more or less"
        write = f"i=0; while [ $i -lt {lines} ]; do echo $i {line}; i=$((i+1)); done"
        used = _journal_after(box, write)
        _expect(used <= JOURNAL_KIB, f"the journal of a week takes {used} KiB")
        used = _journal_after(box, FLOOD)
        _expect(JOURNAL_KIB // 2 < used <= JOURNAL_KIB, f"after a flood the journal takes {used} KiB")
        box.wait_for_state("Live")


def _journal_after(box: Booted, script: str) -> int:
    """The KiB that the journal takes once a service has written what `script` prints."""
    end = f"the last of {len(script)} letters"
    # It stays until all is taken: with its end its leave to write so fast ends as well. An interval of 0 would not
    # reach journald, which then has its own.
    unit = "systemd-run --quiet --unit=t-writer --collect -p LogRateLimitIntervalSec=1 -p LogRateLimitBurst=1000000"
    box.guest.run(f"{unit} bash -c '{script}; echo {end}; exec sleep infinity'")
    last = "journalctl --unit=t-writer --quiet --no-pager --output=cat --lines=1 | cut -c1-80"
    box.guest.wait_until(lambda: end in box.guest.run(last, 120), WRITE_SECONDS, "the last line is there")
    box.guest.run("systemctl stop t-writer")
    used = int(box.guest.run("du -sk /var/log/journal", 120).split()[0])
    print(f"the journal takes {used} KiB", flush=True)
    return used


BOOTS: dict[str, Callable[[Path], None]] = {
    "small-card": a_card_exactly_as_large_as_the_image,
    "clock-1970": a_clock_at_1970,
    "offline": an_offline_boot,
    "cold-boots": ten_cold_boots,
    "cuts": ten_cuts_before_userspace,
    "journal": a_week_of_journal,
}


def _to_live(box: Booted) -> None:
    box.guest.wait_for_shell(BOOT_SECONDS)
    box.wait_for_state("Live")


def _no_failed_unit(box: Booted) -> None:
    failed = box.guest.run("systemctl --failed --no-legend --plain")
    _expect(not failed, f"failed: {failed}")


def _in_slot_a(box: Booted) -> None:
    state = box.boot_state()
    wanted = {"boot_slot": "A", "BOOT_ORDER": "A", "BOOT_A_LEFT": "3"}
    _expect(wanted.items() <= state.items(), f"the boot state is {state}")


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise WorldError(otherwise)
