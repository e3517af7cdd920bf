"""ci/test: run the steps that are named, or all, and end with one line that counts every check."""

import functools
import signal
import sys
from collections.abc import Callable

from steps import image, prepare, referees, rust, yocto
from steps.console import say
from steps.tally import Tally

REFEREE_FILES = {
    "builder": ("test_builder.py", "test_inside.py", "test_tally.py"),
    "docs": ("test_docs.py", "test_units.py"),
    "world": ("test_world.py",),
    "descriptors": ("test_proto.py",),
    "sim": ("test_frame_code.py", "test_spot_sim.py"),
    "first-light": ("test_first_light.py",),
    "behaviour": ("test_behaviour.py",),
    "page": ("test_page.py",),
    "cameras": ("test_cameras.py",),
    "network": ("test_manager.py", "test_netsetup.py", "test_leaks.py"),
    "network-light": ("test_network_first_light.py",),
    "kernel": ("test_kernel.py",),
    "selector": ("test_selector.py", "test_initrd.py"),
    "slots": ("test_slots.py", "test_boards.py"),
    "image": ("test_image.py", "test_image_complaints.py"),
    "demo": ("test_demo.py",),
}
NEED_PROGRAMS = {
    "builder",
    "descriptors",
    "sim",
    "first-light",
    "behaviour",
    "page",
    "cameras",
    "network",
    "network-light",
    "image",
    "demo",
}

STEPS: dict[str, Callable[[], Tally]] = {
    "fmt": rust.fmt,
    "scripts": referees.scripts,
    "python": referees.python,
    "unit": rust.unit,
    "clippy": rust.clippy,
    "image-file": image.checked,
    **{name: functools.partial(referees.pytest, name, files) for name, files in REFEREE_FILES.items()},
    "yocto": yocto.alone,
    "yocto-layers": yocto.layers,
}


def main(names: list[str]) -> int:
    """Run the steps; exit code 0 when every check passed."""
    if names == ["--list"]:
        for name, step in STEPS.items():
            files = REFEREE_FILES.get(name)
            print(f"{name:12} {'ci/referees: ' + ', '.join(files) if files else step.__doc__}")
        return 0
    unknown = [name for name in names if name not in STEPS]
    if unknown:
        print(f"no such step: {', '.join(unknown)}; there are: {', '.join(STEPS)}", file=sys.stderr)
        return 2
    chosen = [name for name in STEPS if not names or name in names]
    total = Tally()
    try:
        fetching = prepare.referees_in_background()
        if NEED_PROGRAMS & set(chosen):
            prepare.programs()
        fetching.join()
        for name in chosen:
            total += STEPS[name]()
    except prepare.Failed as why:
        total += Tally(0, [str(why)])
    for failed in total.failed:
        say(f"failed: {failed}")
    # The closing line of a run stands alone.
    print(total, flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    # A shell that started us in the background has made us deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
