"""Facts of a plain node, and what the files made of them say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from conf.schema import Config
from cri.cli.nodeconfig.facts import Facts
from cri.cli.nodeconfig.files import File

SOCKET = "unix:///run/podwright/podwright.sock"


def facts(**changes: Any) -> Facts:
    """A node with systemd, cgroup v2 and no CNI configuration, but for ``changes``."""
    plain: dict[str, Any] = {
        "socket": Path("/run/podwright/podwright.sock"),
        "cgroup_driver": "systemd",
        "cgroup_version": 2,
        "pod_networks": (),
        "network": "there is no CNI configuration",
        "config": Config(),
    }
    return Facts(**{**plain, **changes})


def documents(file: File) -> dict[str, Any]:
    """The YAML documents of a file by their kind."""
    return {each.get("kind", ""): each for each in yaml.safe_load_all(file.text)}


def by_name(files: Sequence[File]) -> dict[str, File]:
    return {file.name: file for file in files}
