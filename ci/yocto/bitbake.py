"""bitbake, as a user without rights, in a folder of its own below /results/yocto."""

import functools
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LAYERS = Path("/layers")
FOLDER = Path("/results/yocto")
OURS = ("/src/meta-spotstream", "/src/meta-spotstream/bsp")
# Those of meta-spotstream/kas.
MACHINES = ("raspberrypi4-64", "jetson-nano-mainline", "qemuarm64")
NEEDED = (
    "openembedded-core/meta",
    "meta-openembedded/meta-oe",
    "meta-openembedded/meta-python",
    "meta-openembedded/meta-networking",
    "meta-rauc",
)
OF_MACHINE = {"raspberrypi4-64": ("meta-raspberrypi",)}
COMPLAINT = re.compile(r"^(?:WARNING|ERROR|FATAL)\b.*|^Traceback.*", re.MULTILINE)


@dataclass(frozen=True)
class Build:
    """A build folder: which layers, which machine."""

    folder: Path
    machine: str

    @staticmethod
    def of(
        name: str,
        machine: str,
        *settings: str,
        distro: str = "spotstream",
        layers: tuple[str, ...] = (),
        ours: tuple[str, ...] = OURS,
    ) -> "Build":
        """A folder with its two files, lines of `settings` in one; what earlier runs have parsed is kept in it."""
        build = Build(FOLDER / name, machine)
        conf = build.folder / "conf"
        conf.mkdir(parents=True, exist_ok=True)
        found = [str(LAYERS / layer) for layer in layers or (*NEEDED, *OF_MACHINE.get(machine, ()))]
        listed = "".join(f"    {path} \\\n" for path in [*found, *ours])
        (conf / "bblayers.conf").write_text(
            f'LCONF_VERSION = "7"\nBBPATH = "${{TOPDIR}}"\nBBFILES ?= ""\nBBLAYERS = " \\\n{listed}"\n'
        )
        # uninative's loader would be fetched, and nothing runs that needs it.
        (conf / "local.conf").write_text(
            f'CONF_VERSION = "2"\nMACHINE ?= "{machine}"\nDISTRO ?= "{distro}"\nBB_NO_NETWORK = "1"\n'
            'INHERIT:remove = "uninative"\n' + "".join(f"{line}\n" for line in settings)
        )
        home = build.folder / "home"
        home.mkdir(exist_ok=True)
        # The layers belong to whoever has fetched them.
        (home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
        (build.folder / "bitbake.lock").unlink(missing_ok=True)
        subprocess.run(["chown", "-R", "nobody:nogroup", build.folder], check=True)
        return build

    def run(self, name: str, *words: str) -> str:
        """What a command of bitbake or openembedded-core says, kept in NAME.log beside the build folder."""
        log = self.folder.with_name(f"{self.folder.name}-{name}.log")
        path = f"{LAYERS}/openembedded-core/scripts:{LAYERS}/bitbake/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        env = {
            "HOME": str(self.folder / "home"),
            "LANG": "en_US.UTF-8",
            "LC_ALL": "en_US.UTF-8",
            "PATH": path,
            "BUILDDIR": str(self.folder),
            "BBPATH": str(self.folder),
            "BB_ENV_PASSTHROUGH_ADDITIONS": "MACHINE DISTRO",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs"]
        with log.open("w") as file:
            done = subprocess.run(
                [*as_nobody, *words], cwd=self.folder, env=env, stdout=file, stderr=subprocess.STDOUT, check=False
            )
        said = log.read_text(errors="replace")
        if done.returncode:
            raise AssertionError(f"{' '.join(words)}: exit code {done.returncode}\n{said[-4000:]}")
        return said

    @functools.cache  # noqa: B019 - there is one build for each machine, and the run is short
    def variables(self, recipe: str) -> dict[str, str]:
        """What `bitbake -e` gives for `recipe`, functions left out."""
        said = self.run(f"e-{recipe.replace('/', '-')}", "bitbake", "-e", recipe)
        values = re.findall(r'^(?:export )?([A-Za-z0-9_:/+.@{}$-]+)="((?:[^"\\]|\\.|\\\n)*)"$', said, re.MULTILINE)
        return {name: value.replace("\\\n", " ") for name, value in values}


def complaints(said: str) -> list[str]:
    """Warnings and errors in what bitbake said."""
    return COMPLAINT.findall(said)


def only(names: Iterable[str], among: str) -> str:
    """The setting that leaves out all recipes below `among`, an expression, but those whose files have these names."""
    kept = "|".join(sorted({re.escape(name) for name in names}))
    return f'BBMASK = "^{among}(?!.*/({kept})(_[^/]*)?\\.bb(append)?$)"'


def commit(layer: str) -> str:
    """The commit at which a layer's repository is."""
    return subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", str(LAYERS / layer), "rev-parse", "HEAD"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
