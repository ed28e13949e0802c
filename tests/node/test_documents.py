"""What the documents say to type, on a node that systemd runs. In node-test, not in make test."""

from tests.node.conftest import Guest

TIMEOUT_S = 3600


def test_the_commands_of_the_documents(guest: Guest) -> None:
    results = guest.pytest("tests/node/inside/test_documents.py", timeout_s=TIMEOUT_S)
    assert (results.failed, results.skipped) == ((), ())
    assert len(results.passed) == 8
