"""Which code a monitor runs: what tells a daemon to have it replaced by its own.

A monitor notes this at its start, for the files may be others later.
"""

import hashlib
import os

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_RUN = ("oci/run", *(f"oci/run/{part}" for part in ("cgroups", "cli", "perform", "plan", "verbs")))
PARTS = ("oci/monitor", "host", "api", "oci", "oci/inside", *_RUN)

# What this monitor can do beyond protocol.VERSION; a daemon asks for nothing that is not among it.
ABILITIES = ("keeper", "upgrade")


def identity() -> str:
    """Of the files that a monitor is made of: another name, size or time makes it another."""
    found = hashlib.sha256()
    for part in PARTS:
        directory = f"{_ROOT}/{part}"
        for name in sorted(os.listdir(directory)):
            if name.endswith(".py"):
                about = os.stat(f"{directory}/{name}")
                found.update(f"{part}/{name} {about.st_size} {about.st_mtime_ns}\n".encode())
    return found.hexdigest()[:16]
