"""Stop signals: the request's, the image's, else SIGTERM."""

import functools
import re
import signal

from api.errors import InvalidArgument
from api.runtime.v1 import api_pb2 as pb

_SIGNAL = re.compile(r"(?:SIG)?(?:([0-9]{1,4})|([A-Z]+[0-9]?)([+-][0-9]{1,4})?)", re.ASCII | re.IGNORECASE)


class UnknownSignal(InvalidArgument):
    """No signal of this kernel has the name or number."""


def number_of(text: str) -> int:
    """``SIGTERM``, ``TERM``, ``15``, ``SIGRTMIN+3``, ``SIGRTMAX-1`` as a number.

    Raises:
        UnknownSignal: ``text`` is none of these.
    """
    parsed = _SIGNAL.fullmatch(text)
    if parsed is not None:
        number, base, offset = parsed.groups()
        found = None if number else getattr(signal, f"SIG{base.upper()}", None)
        if number:
            value = int(number)
        elif isinstance(found, signal.Signals) and (not offset or base.upper() in ("RTMIN", "RTMAX")):
            value = found + int(offset or 0)
        else:
            value = 0
        if 0 < value <= signal.SIGRTMAX:
            return value
    shown = repr(text if len(text) <= 80 else text[:80] + "…")
    raise UnknownSignal(
        f"{shown} is no signal: use a name such as SIGTERM or SIGRTMIN+3, or a number up to 64"
    )


def stop_signal(asked: pb.Signal.ValueType, image_signal: str) -> int:
    """The signal that StopContainer sends first; the CRI's enum has numbers of its own, so names decide.

    Raises:
        UnknownSignal: the request's or the image's is none.
    """
    if asked:
        if asked not in pb.Signal.values():
            raise UnknownSignal(
                f"stop_signal: {asked} is none of the CRI's signals, 0 to {max(pb.Signal.values())}"
            )
        name = pb.Signal.Name(asked).removeprefix("SIGNAL_")
        return number_of(name.replace("PLUS", "+").replace("MINUS", "-"))
    return number_of(image_signal) if image_signal else signal.SIGTERM


@functools.cache
def cri_signal(number: int) -> pb.Signal.ValueType:
    """The CRI's value for a signal's number; of two names for one signal, the kernel's own."""
    values = [value for value in pb.Signal.values() if value and stop_signal(value, "") == number]
    known = next((one.name for one in signal.Signals if one == number), "")
    return next((value for value in values if pb.Signal.Name(value) == f"SIGNAL_{known}"), values[0])
