"""The words between the monitor, its zygote and the workers that this forks: a JSON object a message.

monitor → zygote   {"argv": […], "oom": 0, "inside": {…}}   beside it the worker's end of a channel, and
                                                            three descriptors: its input, output, errors
worker → monitor   {"pid": 17}      on the channel: it is there, and waits
                   {"failed": "…"}  from the zygote: there could be none
monitor → worker   {"go": true}     it is known; the end of the channel ends it instead
"""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from oci.orders import BadOrder, Inside

MESSAGE_LIMIT = 65536
GO = b'{"go":true}'


class Work(NamedTuple):
    """What a worker is to do, and what ps(1) is to say of it."""

    argv: Sequence[str]
    oom_adj: int
    inside: Inside


def encode_work(argv: Sequence[str], oom_adj: int, inside: Mapping[str, object]) -> bytes:
    """
    Raises:
        BadOrder: it is too long.
    """
    data = json.dumps({"argv": list(argv), "oom": oom_adj, "inside": inside}, separators=(",", ":")).encode()
    if len(data) > MESSAGE_LIMIT:
        raise BadOrder(f"an order of {len(data)} bytes exceeds {MESSAGE_LIMIT}")
    return data


def decode_work(data: bytes) -> Work:
    """
    Raises:
        BadOrder: it is none.
    """
    message = json.loads(data)
    inside = message["inside"]
    if not isinstance(inside, dict):
        raise BadOrder("an order without its content")
    return Work([str(word) for word in message["argv"]], int(message["oom"]), Inside.parse(inside))


def encode_pid(pid: int) -> bytes:
    """A worker's first word."""
    return b'{"pid":%d}' % pid


def encode_failure(words: str) -> bytes:
    """Instead of it."""
    return json.dumps({"failed": words}).encode()


def decode_first(data: bytes) -> tuple[int, str]:
    """The worker's pid, or 0 and why there is none."""
    message = json.loads(data)
    return int(message.get("pid", 0)), str(message.get("failed", ""))
