"""Proofs of a transparency log: inclusion in a tree (RFC 6962, 2.1.1), and its head as a signed note.

A note is text, an empty line, and lines "— NAME BASE64" with four bytes that hint at the key, and a signature
of the text.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from storage.signatures.errors import NotAccepted
from storage.signatures.keys import PublicKey, is_signed, spki
from storage.signatures.strict import Malformed, base64_bytes

_NOTE_LIMIT = 64 << 10
_SIGNATURES = 32
_HASHES = 64
_SIZE_BITS = 63
_ED25519 = b"\x01"


@dataclass(frozen=True, slots=True)
class TreeHead:
    """How large a log's tree is, and its root."""

    origin: str
    size: int
    root: bytes


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\0" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root of a tree of ``size`` leaves to which ``path`` leads from a leaf (RFC 9162, 2.1.3.2).

    Raises:
        NotAccepted: the path is not as long as it must be.
    """
    if not 0 <= index < size < 1 << _SIZE_BITS or len(path) > _HASHES:
        raise NotAccepted("the log's proof is of another tree")
    node, last, found = index, size - 1, leaf
    for step in path:
        if len(step) != 32 or last == 0:
            raise NotAccepted("the log's proof has not the length of its tree")
        if node & 1 or node == last:
            found = _node(step, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = _node(found, step)
        node, last = node >> 1, last >> 1
    if last:
        raise NotAccepted("the log's proof has not the length of its tree")
    return found


def verified_head(note: str, key: PublicKey) -> TreeHead:
    """The tree head of a checkpoint that the log's key signed.

    Raises:
        NotAccepted: it is malformed, or not signed by the key.
    """
    if len(note) > _NOTE_LIMIT:
        raise NotAccepted("the log's checkpoint is too long")
    text, blank, lines = note.rpartition("\n\n")
    if not blank:
        raise NotAccepted("the log's checkpoint is no signed note")
    signed = f"{text}\n"
    signatures = lines.split("\n")
    if signatures.pop() or not 0 < len(signatures) <= _SIGNATURES:
        raise NotAccepted("the log's checkpoint is no signed note")
    head = _head(signed)
    try:
        data = signed.encode()
    except UnicodeEncodeError as error:
        raise NotAccepted("the log's checkpoint is malformed") from error
    if not any(_is_by(line, head.origin, data, key) for line in signatures):
        raise NotAccepted("the log's checkpoint is not signed by its key")
    return head


def _head(text: str) -> TreeHead:
    origin, *rest = text.split("\n")
    try:
        size, root = rest[0], base64_bytes(rest[1], "its root")
    except (IndexError, Malformed) as error:
        raise NotAccepted("the log's checkpoint is malformed") from error
    if not (origin and size.isascii() and size.isdigit() and len(size) < 20 and len(root) == 32):
        raise NotAccepted("the log's checkpoint is malformed")
    return TreeHead(origin, int(size), root)


def _is_by(line: str, origin: str, signed: bytes, key: PublicKey) -> bool:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014":
        return False
    name = parts[1]
    if origin != name and not origin.startswith(f"{name} - "):  # Rekor v1 has its tree's number there
        return False
    try:
        data = base64_bytes(parts[2], "a signature")
    except Malformed:
        return False
    return data[:4] == _hint(name, key) and is_signed(key, data[4:], signed)


def _hint(name: str, key: PublicKey) -> bytes:
    """The four bytes before a signature."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return hashlib.sha256(name.encode() + b"\n" + _ED25519 + raw).digest()[:4]
    return hashlib.sha256(spki(key)).digest()[:4]
