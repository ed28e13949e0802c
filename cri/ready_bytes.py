"""Items of list answers as ready bytes, joined for each answer instead of being made into a message again.

In the wire format of protocol buffers a repeated field is its items one after another, each behind the tag of
the field and its length. Every list answer of CRI v1 has its items in field 1.
"""

from google.protobuf.message import Message

_TAG = b"\x0a"  # field 1, of a length


def listed(item: Message) -> bytes:
    """``item`` as a part of a list answer: the answer is the parts joined."""
    data = item.SerializeToString()
    return _TAG + _varint(len(data)) + data


def serialized(response: Message | bytes) -> bytes:
    """What goes out for an answer that may be ready."""
    return response if isinstance(response, bytes) else response.SerializeToString()


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)
