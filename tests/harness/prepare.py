"""Make what tests need before they run, so that its progress is seen: pytest keeps what is printed in it.

    python -m tests.harness.prepare WHAT…

WHAT is ``crictl``, for the integration tests, or ``node``, for those on a virtual machine; quick once cached.
"""

import sys
from collections.abc import Sequence

from tests.critest.toolchain import ToolchainFailed, ensure_tool
from tests.harness import podman, shells
from tests.harness.debian import unpacked
from tests.harness.promtool import promtool
from tests.harness.registry import registry_program
from tests.harness.wheels import wheels


def crictl() -> None:
    """What the integration tests fetch and build."""
    registry_program()
    ensure_tool("crictl")
    wheels()
    unpacked(podman.PACKAGES)
    promtool()
    shells.zsh()
    shells.fish()


def node() -> None:
    """The virtual machine and the package on it."""
    from tests.node import image, package

    image.emulator()
    image.image()
    package.package()


def main(argv: Sequence[str]) -> int:
    steps = {"crictl": crictl, "node": node}
    if not argv or not set(argv) <= set(steps):
        sys.exit(f"usage: python -m tests.harness.prepare {'|'.join(steps)}…")
    try:
        for name in argv:
            steps[name]()
    except ToolchainFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
