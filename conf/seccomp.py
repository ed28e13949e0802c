"""Seccomp profiles as data: the shipped default (conf/seccomp.json) and files that others name."""

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from api.errors import InvalidArgument

SIZE_LIMIT = 4 << 20


class BadSeccompProfile(InvalidArgument):
    """The file is missing, too large or no JSON object with a defaultAction."""


def default_profile() -> Mapping[str, object]:
    """Podwright's RuntimeDefault, parsed anew on each call: keep it."""
    return parse(Path(__file__).with_name("seccomp.json").read_bytes(), "built-in seccomp profile")


def load_profile(path: Path) -> Mapping[str, object]:
    """Read a profile file; blocks.

    Raises:
        BadSeccompProfile: see there; the message has the path.
    """
    try:
        # A request may name anything: what is no file is not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BadSeccompProfile(f"seccomp profile {path} is not a file")
            content = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise BadSeccompProfile(f"seccomp profile {path}: {error.strerror}") from error
    if len(content) > SIZE_LIMIT:
        raise BadSeccompProfile(f"seccomp profile {path} is larger than {SIZE_LIMIT} bytes")
    return parse(content, f"seccomp profile {path}")


def parse(content: bytes, name: str) -> Mapping[str, object]:
    """The JSON object in ``content``; rules are looked at when a container uses them.

    Raises:
        BadSeccompProfile: it is not one; the message starts with ``name``.
    """
    try:
        profile = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadSeccompProfile(f"{name}: not JSON: {error}") from error
    if not isinstance(profile, dict) or not isinstance(profile.get("defaultAction"), str):
        raise BadSeccompProfile(f"{name}: no defaultAction, so not a seccomp profile")
    return profile
