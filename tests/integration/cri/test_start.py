"""What a daemon loads before it serves: each module is a part of a millisecond of every start."""

import re
import sys

from tests.harness.daemon import Daemon, Settings

# Of ours and others', Python's own counted too; raise it only for what a first Version needs.
MODULES_LIMIT = 560
NOT_NEEDED = {
    "aiohttp",
    "api.runtime.v1.api_pb2_grpc",
    "difflib",
    "importlib.metadata",
    "importlib.resources",
    "jeepney",
    "prometheus_client",
    "storage.pull",
    "storage.registry.conversation",
}
_IMPORTED = re.compile(r"^import time:[^|]*\|[^|]*\| *(\S+)$", re.MULTILINE)
PROGRAM = (
    sys.executable,
    "-X",
    "importtime",
    "-c",
    "import sys; from cri.cli import main; sys.exit(main())",
)


def test_a_daemon_that_answers_has_loaded_no_more_than_it_needs() -> None:
    with Daemon(Settings(), program=PROGRAM) as daemon:
        before, serving, _ = daemon.log().partition("cri.daemon: serving")
    assert serving
    loaded = _IMPORTED.findall(before)
    assert "cri.daemon" in loaded
    assert NOT_NEEDED.intersection(loaded) == set()
    assert len(loaded) < MODULES_LIMIT
