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


def test_a_machine_whose_number_is_unknown_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> int:
        raise AssertionError("called")

    monkeypatch.setattr(keyrings, "syscall", never)
    monkeypatch.setattr(keyrings, "_SYS_KEYCTL", {})
    leave_session_keyring()


@pytest.mark.parametrize("number", [1, 13, 38])
def test_a_kernel_without_keyrings_is_no_error(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: object) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(keyrings, "syscall", refused)
    leave_session_keyring()


def test_too_many_keys_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise OSError(122, "Disk quota exceeded")

    monkeypatch.setattr(keyrings, "syscall", refused)
    with pytest.raises(OSError, match="quota"):
        leave_session_keyring()
