"""A session keyring of one's own: another at each call, and not the parent's."""

import threading

import pytest

from host import keyrings
from host.keyrings import leave_session_keyring


def test_the_calling_thread_alone_changes() -> None:
    """Which keyring it is, nobody but the kernel says; that the call is one it takes can be seen here."""
    failures: list[BaseException] = []

    def leave() -> None:
        try:
            leave_session_keyring()
            leave_session_keyring()
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    assert failures == []


@pytest.mark.parametrize("number", [1, 13, 38])
def test_a_kernel_without_keyrings_is_no_error(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: object) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(keyrings, "numbered", refused)
    leave_session_keyring()


def test_too_many_keys_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise OSError(122, "Disk quota exceeded")

    monkeypatch.setattr(keyrings, "numbered", refused)
    with pytest.raises(OSError, match="quota"):
        leave_session_keyring()
