"""Stop signals by the CRI's enum, by name and by number."""

import signal

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.containers.signals import UnknownSignal, cri_signal, number_of, stop_signal


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGTERM", 15),
        ("term", 15),
        ("9", 9),
        ("SIGRTMIN", signal.SIGRTMIN),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("RTMAX-14", signal.SIGRTMAX - 14),
    ],
)
def test_texts_that_images_carry(text: str, number: int) -> None:
    assert number_of(text) == number


ODD = (
    "9" * 5000,
    "RTMIN+" + "9" * 5000,
    "\u0669",
    "9\n",
    " 9",
    "--9",
    "\ud800",
    "SIGKILL; rm",
    "_DFL",
    "SIG",
    "SIGSIGTERM",
)


@pytest.mark.parametrize(
    "text", ["", "SIGNOTHING", "0", "65", "-9", "SIGTERM+1", "SIGRTMIN+99", "SIGRTMIN+x", *ODD]
)
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(UnknownSignal):
        number_of(text)


def test_every_signal_of_the_cri_has_a_number() -> None:
    named = [value for name, value in pb.Signal.items() if value]
    numbers = [stop_signal(value, "") for value in named]
    assert len(numbers) == 65
    assert all(0 < number <= 64 for number in numbers)


def test_the_request_wins_over_the_image_and_the_image_over_the_default() -> None:
    assert stop_signal(pb.SIGNAL_SIGUSR1, "SIGQUIT") == signal.SIGUSR1
    assert stop_signal(pb.SIGNAL_RUNTIME_DEFAULT, "SIGQUIT") == signal.SIGQUIT
    assert stop_signal(pb.SIGNAL_RUNTIME_DEFAULT, "") == signal.SIGTERM


def test_a_value_that_the_cri_does_not_have_is_refused() -> None:
    with pytest.raises(UnknownSignal, match="stop_signal: 99"):
        stop_signal(99, "")  # type: ignore[arg-type]


def test_every_number_has_its_value_and_comes_back() -> None:
    for number in range(1, signal.SIGRTMAX + 1):
        if number not in (32, 33):  # the C library's own
            assert stop_signal(cri_signal(number), "") == number
    assert cri_signal(signal.SIGCHLD) == pb.SIGNAL_SIGCHLD
    assert cri_signal(signal.SIGTERM) == pb.SIGNAL_SIGTERM
