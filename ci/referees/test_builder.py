"""What the builder root takes over from the host serves the builder: none of it is in what we ship."""

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from world.authority import Authority

SOURCE = Path("/src")
HOST = Path("/run/host")
# Mirrors and transport, taken over when the root was made.
APT = Path("/etc/apt")
PRODUCTS = [Path(os.environ["PATH_TO_PROGRAMS"]) / name for name in ("spotstreamd", "spotstreamctl")]
# PEM with a body; unit tests may have the mere marker, to show what a broken file gives.
CERTIFICATE = re.compile(rb"-----BEGIN (TRUSTED )?CERTIFICATE-----\s+(\S{64}\s+){3}")
# Public places that anyone's build may name.
PUBLIC = {
    "localhost",
    "deb.debian.org",
    "security.debian.org",
    "crates.io",
    "index.crates.io",
    "static.crates.io",
    "github.com",
    "pypi.org",
    "registry.npmjs.org",
}


def test_no_value_of_the_host_is_in_a_product_file():
    assert found(host_values(), product_files()) == []


@pytest.mark.parametrize(
    "setting",
    [
        "https_proxy=http://user:pass@planted-proxy.example:3128",
        "PIP_INDEX_URL=https://planted-index.example/simple",
        'registry = "sparse+https://planted-registry.example/index/"',
        "cafile=/opt/planted-place/ca.pem",
    ],
)
def test_a_planted_value_is_noticed(tmp_path: Path, setting: str):
    shipped = tmp_path / "spotstream.toml"
    shipped.write_text(f"# {setting}\n")
    assert found(machines_of(setting) | places_of(setting), [shipped]) != []


def test_no_certificate_is_kept_in_the_tree():
    # The CA bundle of the host, or any other: tests make their own when they run.
    assert [path for path in product_files() if CERTIFICATE.search(path.read_bytes())] == []


def test_a_kept_certificate_is_noticed(authority: Authority):
    assert CERTIFICATE.search(authority.root.read_bytes())


def test_lock_files_name_no_host_to_fetch_from():
    assert '"resolved"' not in (SOURCE / "ci/referees/package-lock.json").read_text()
    sources = set(re.findall(r'^source = "(.*)"$', (SOURCE / "Cargo.lock").read_text(), re.MULTILINE))
    assert sources == {"registry+https://github.com/rust-lang/crates.io-index"}


def host_values() -> set[str]:
    """Names of machines, and places in the file system, that the host's settings speak of."""
    texts = [path.read_text(errors="replace") for path in HOST.iterdir() if path.is_file()]
    mirrors = [path.read_text() for path in APT.rglob("*") if path.suffix in (".list", ".sources", ".conf")]
    values = set().union(*map(machines_of, texts + mirrors), *map(places_of, texts))
    return values - places_of_any_system()


def machines_of(text: str) -> set[str]:
    """The machines that URLs of a text of settings name; comments in it count as well."""
    urls = re.findall(r"[a-z+]+://[^\s\"']+", text)
    return {urlsplit(url).hostname or "" for url in urls} - PUBLIC - {""}


def places_of(text: str) -> set[str]:
    """The places in the file system that a text of settings names."""
    return set(re.findall(r"[=\s\"'](/[\w./-]+)", text))


def places_of_any_system() -> set[str]:
    """Places that are the same on every Debian, or that exist in the builder root alone."""
    return {"/etc/ssl/certs", "/etc/ssl/certs/ca-certificates.crt", "/usr", *map(str, HOST.iterdir())}


def product_files() -> list[Path]:
    """All files of the tree that are tracked, and the built programs."""
    words = ["git", "-c", f"safe.directory={SOURCE}", "-C", str(SOURCE), "ls-files", "-z"]
    listing = subprocess.run(words, check=False, capture_output=True, text=True)
    tracked = listing.stdout.split("\0") if listing.returncode == 0 else []
    everything = [SOURCE / name for name in tracked if name] or [
        path for path in SOURCE.rglob("*") if not {".git", "target", "node_modules"} & set(path.parts)
    ]
    return [path for path in everything if path.is_file()] + PRODUCTS


def found(values: set[str], files: list[Path]) -> list[tuple[str, Path]]:
    """Which value is in which file."""
    return [(value, path) for path in files for value in values if value.encode() in path.read_bytes()]
