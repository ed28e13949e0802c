"""Compiled seccomp filters, kept below the states: ``<root>/.cache/seccomp/<sha256 of all that decides>``.

Root's alone; a file is written to a temporary and renamed. Compiling takes milliseconds, reading does not.
"""

import contextlib
import hashlib
import json
import os

from host.libseccomp import version
from oci.run.document import Table
from oci.run.plan import seccomp

_KEPT = 64
_FORMAT = 1  # of what is compiled: raised when seccomp.program gives other code for the same profile


def program(spec: Table, root: str) -> bytes:
    """The filter of a configuration, b"" without one.

    Raises:
        BadConfig: see seccomp.program.
    """
    profile = spec.table("linux").table("seccomp")
    if not profile:
        return b""
    if seccomp.COMPILED in spec.table("annotations"):
        return seccomp.program(spec)
    decisive = [_FORMAT, version(), os.uname().machine, seccomp.key_of(profile.raw)]
    directory = os.path.join(root, ".cache/seccomp")
    path = os.path.join(directory, hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest())
    with contextlib.suppress(OSError), open(path, "rb") as file:
        code = file.read()
        if code and not len(code) % 8:
            return code
    code = seccomp.program(spec)
    with contextlib.suppress(OSError):  # a full disk costs time only
        _keep(directory, path, code)
    return code


def _keep(directory: str, path: str, code: bytes) -> None:
    os.makedirs(directory, 0o700, exist_ok=True)
    names = os.listdir(directory)
    if len(names) >= _KEPT:
        oldest = min(names, key=lambda name: os.stat(os.path.join(directory, name)).st_mtime)
        os.unlink(os.path.join(directory, oldest))
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(code)
    os.rename(temporary, path)
