"""The documents: what they point at is there."""

import re
from pathlib import Path

import pytest

SOURCE = Path("/src")
DOCUMENTS = [path for path in SOURCE.rglob("*.md") if not {"target", "node_modules"} & set(path.parts)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_link_leads_somewhere(document: Path):
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_named_test_exists(document: Path):
    named = re.findall(r"`([\w./-]+\.(?:py|rs))::(\w+)`", document.read_text())
    missing = [
        (file, test)
        for file, test in named
        if not (SOURCE / file).exists() or not re.search(rf"\b(def|fn) {test}\b", (SOURCE / file).read_text())
    ]
    assert missing == []


def test_there_are_documents():
    assert SOURCE / "docs/architecture.md" in DOCUMENTS
