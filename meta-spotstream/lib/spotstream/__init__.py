"""Facts that recipes read out of the repository, which has them once."""

import os
import re
import tomllib

import bb.parse

REGISTRY = "registry+"


def crates_host(tree):
    """The host part of crate:// for the one registry that Cargo.lock names, its index: '.../HOST-index'."""
    with open(os.path.join(tree, "Cargo.lock"), "rb") as file:
        sources = {package.get("source") for package in tomllib.load(file)["package"]} - {None}
    (source,) = sources
    if not source.startswith(REGISTRY):
        raise ValueError(f"Cargo.lock takes crates from '{source}', which is no registry")
    return source.rsplit("/", 1)[-1].removesuffix("-index")


def rauc_compatible(tree):
    """What a bundle has to call itself to be taken."""
    return _setting(os.path.join(tree, "image/rauc/system.conf"), "compatible")


def bundle_format(tree):
    """The format that the boxes take bundles in."""
    return _setting(os.path.join(tree, "image/rauc/system.conf"), "bundle-formats")


def sources(d, folder):
    """The regular files below `folder` of the tree as parts of SRC_URI. bitbake cannot sum up links that point into the appliance."""
    tree = d.getVar("SPOTSTREAM_TREE")
    paths = [path for path in _walk(d, os.path.join(tree, folder)) if not os.path.islink(path)]
    return " ".join(f"file://{os.path.relpath(path, tree)}" for path in paths)


def links(d, folder):
    """The links below `folder` of the tree, each as 'name=target'."""
    folder = os.path.join(d.getVar("SPOTSTREAM_TREE"), folder)
    paths = [path for path in _walk(d, folder) if os.path.islink(path)]
    return " ".join(f"{os.path.relpath(path, folder)}={os.readlink(path)}" for path in paths)


def _walk(d, folder):
    found = []
    for here, folders, files in os.walk(folder):
        folders.sort()
        # Whoever adds a file has the recipe parsed anew.
        bb.parse.mark_dependency(d, here)
        found += [os.path.join(here, name) for name in sorted(files)]
    return found


def _setting(path, name):
    with open(path) as file:
        (value,) = re.findall(rf"^{name}=(.+)$", file.read(), re.MULTILINE)
    return value
