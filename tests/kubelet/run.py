"""`make kubelet-test`: pods by a real kubelet against a fresh daemon, in namespaces of their own.

What needs the network (the kubelet's modules, packages) is fetched and built before the private namespace is
entered. HANDLER (crun or runc) by environment variable; arguments go to pytest.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.critest.images import registry_directory
from tests.critest.toolchain import ToolchainFailed, ensure_tool
from tests.harness import private
from tests.harness.debian import PackagesUnavailable
from tests.harness.registry import RegistryFailed


def main(arguments: Sequence[str]) -> int:
    try:
        for tool in ("kubelet", "health"):
            print(ensure_tool(tool), flush=True)
        registry_directory()
    except (ToolchainFailed, PackagesUnavailable, RegistryFailed) as error:
        print(error, file=sys.stderr)
        return 2
    paths = [] if any(Path(argument).exists() for argument in arguments) else ["tests/kubelet"]
    line = [sys.executable, "-m", "pytest", "-q", *arguments, *paths]
    if os.environ.get(private.INSIDE):
        return os.execv(line[0], line)
    return private.main(line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
