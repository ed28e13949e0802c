"""`make cluster-test`: a cluster of one node with the real control plane, in namespaces of its own.

What needs the network (modules, packages) is fetched and built before the private namespace is entered.
HANDLER (crun or runc) by environment variable; arguments go to pytest.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.critest.images import registry_directory
from tests.critest.toolchain import CLUSTER_TOOLS, ToolchainFailed, ensure_tool
from tests.harness import private
from tests.harness.debian import PackagesUnavailable
from tests.harness.registry import RegistryFailed
from tests.node.kubernetes import image_archives


def main(arguments: Sequence[str]) -> int:
    try:
        for name in ("kubelet", "etcd", "kind", *CLUSTER_TOOLS):
            ensure_tool(name)
        registry_directory()
        image_archives()
    except (ToolchainFailed, PackagesUnavailable, RegistryFailed) as error:
        print(error, file=sys.stderr)
        return 2
    chosen = any(Path(argument.partition("::")[0]).exists() for argument in arguments)
    line = [sys.executable, "-m", "pytest", "-q", *arguments, *([] if chosen else ["tests/cluster"])]
    if os.environ.get(private.INSIDE):
        return os.execv(line[0], line)
    return private.main(line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
