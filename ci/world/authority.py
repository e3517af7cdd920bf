"""A certificate authority of the test world, made anew each time it is asked for."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path


class Authority:
    """An authority whose root is in `root` and that signs server certificates."""

    def __init__(self, folder: Path):
        """Make the root in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.root = folder / "root.pem"
        self.key = folder / "root.key"
        subject = ["-subj", "/CN=spotstream test world"]
        _openssl("req", "-x509", *_NEW_KEY, *_days(), *subject, "-keyout", self.key, "-out", self.root)

    def certificate(self, name: str) -> tuple[Path, Path]:
        """A key and a certificate for the server `name`."""
        key, request, chain = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        alternative = ["-addext", f"subjectAltName=DNS:{name}"]
        _openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", *alternative, "-keyout", key, "-out", request)
        signer = ["-CA", self.root, "-CAkey", self.key, "-copy_extensions", "copyall", *_days()]
        _openssl("x509", "-req", "-in", request, *signer, "-out", chain)
        return key, chain


_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def _days() -> list[str]:
    """Good from yesterday on: a machine that went back to a snapshot has an older clock until it is told the time."""
    now, day = datetime.now(UTC), timedelta(days=1)
    return ["-not_before", f"{now - day:%Y%m%d%H%M%SZ}", "-not_after", f"{now + 2 * day:%Y%m%d%H%M%SZ}"]


def _openssl(*words: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, words)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr.strip()}")
