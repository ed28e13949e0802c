"""The unit tests under the Python that a release of Debian brings, in a clean root directory of that release.

    python -m tests.harness.distro [SUITE…]

An installation runs on that Python, with its patches and its standard library, and not on the one that the
checkout's .venv was made from. Tests of the harness itself are left out. Needs root and mmdebstrap.
"""

import os
import sys
import time
from collections.abc import Sequence

from tests.harness.distro_environment import environment
from tools.packaging.chroot import run_inside
from tools.packaging.environment import InstallFailed

SUITES = ("bookworm", "trixie")
PARTS = ("api", "cni", "conf", "cri", "host", "oci", "storage", "tools")
# On overlayfs, which the root directory is, files seem to be of another device than their directory.
TEST = """\
set -eu
mount -t tmpfs tmpfs /tmp
exec /shared/venv/bin/python -m pytest -q -p no:cacheprovider "$@"
"""
ENVIRONMENT = {
    "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis",
    "PATH": "/shared/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def test(suite: str) -> None:
    """Run them.

    Raises:
        InstallFailed: one fails; the end of what pytest says.
    """
    root, place = environment(suite)
    begun = time.monotonic()
    print(f"unit tests under the Python of Debian {suite}", flush=True)
    patience = {name: value for name, value in os.environ.items() if name.startswith("PODWRIGHT_TEST_")}
    parts = [f"tests/unit/{part}" for part in PARTS]
    run_inside(root, place, ["sh", "-c", TEST, "sh", *parts], {**ENVIRONMENT, **patience})
    print(f"passed in {time.monotonic() - begun:.0f} s", flush=True)


def main(argv: Sequence[str]) -> int:
    """Run them for each suite of the command line, by default for all."""
    if os.geteuid() != 0:
        sys.exit("this needs root: it makes root directories and mount namespaces of its own")
    try:
        for suite in argv or SUITES:
            test(suite)
    except InstallFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
