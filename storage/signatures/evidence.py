"""What speaks for an image: the signatures that were found, as they came, and as they are kept with it.

Nothing in here was verified by being here. What is kept is bounded; it is judged again, without a network,
whenever a container is made of the image.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from storage.bounded_json import BadJson, bounded_json

BLOB_LIMIT = 4 << 20  # of one signature
COUNT_LIMIT = 128  # of each form
KEPT_BYTES = 4 << 20  # of all that is kept with one image
_VALUES = 1_000_000
SIGSTORE_FORM = b"sigstore-json"
_SIMPLE_FORM = b"simple-signing"
# OpenPGP packets with which a signed message may begin (RFC 4880, 4.2); 3D stands where 93 would belong.
OPENPGP = frozenset((*range(0xA0, 0xA4), 0xC8, *range(0x90, 0x93), 0x3D, 0xC4, *range(0x88, 0x8C), 0xC2))


class UnknownForm(ValueError):
    """A look-aside has something that is no signature."""


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple signature: an OpenPGP message."""

    message: bytes


@dataclass(frozen=True, slots=True)
class Attachment:
    """A sigstore signature of the form before bundles: payload, and annotations beside it."""

    payload: bytes
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A sigstore bundle, JSON."""

    data: bytes


Signature = Simple | Attachment | Bundle


@dataclass(frozen=True, slots=True)
class Evidence:
    """The signatures of one manifest; ``remarks`` say what was looked for in vain, for messages."""

    signatures: tuple[Signature, ...] = ()
    remarks: tuple[str, ...] = field(default=(), compare=False)

    def of(self, kind: type[Signature]) -> list[Signature]:
        """Those of one form."""
        return [each for each in self.signatures if isinstance(each, kind)]

    def encode(self) -> bytes:
        """The bytes to keep: signatures in their order, as many as ``KEPT_BYTES`` hold."""
        kept: list[Mapping[str, Any]] = []
        room = KEPT_BYTES
        for signature in self.signatures:
            entry = _entry(signature)
            room -= len(json.dumps(entry))
            if room < 0:
                break
            kept.append(entry)
        return json.dumps(kept, separators=(",", ":")).encode() if kept else b""

    @classmethod
    def decode(cls, data: bytes) -> "Evidence":
        """What ``encode`` wrote; what is damaged is no evidence."""
        try:
            return (
                cls(tuple(_signatures(bounded_json(data, "kept signatures", values=_VALUES))))
                if data
                else cls()
            )
        except (BadJson, KeyError, TypeError, ValueError, AttributeError):
            return cls(remarks=("the signatures that were kept with the image are damaged",))


def _entry(signature: Signature) -> Mapping[str, Any]:
    match signature:
        case Simple(message=message):
            return {"simple": _text(message)}
        case Attachment(payload=payload, annotations=annotations):
            return {"attachment": _text(payload), "annotations": dict(annotations)}
        case Bundle(data=data):
            return {"bundle": _text(data)}


def _signatures(entries: Any) -> Iterator[Signature]:
    for entry in entries:
        if "simple" in entry:
            yield Simple(base64.b64decode(entry["simple"], validate=True))
        elif "bundle" in entry:
            yield Bundle(base64.b64decode(entry["bundle"], validate=True))
        else:
            annotations = {str(key): str(value) for key, value in entry["annotations"].items()}
            yield Attachment(base64.b64decode(entry["attachment"], validate=True), annotations)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_lookaside(data: bytes) -> Simple | Attachment:
    """A file of a look-aside: an OpenPGP message, or one of the forms that say their name.

    Raises:
        UnknownForm: it is neither.
    """
    if data[:1] == b"\0":
        name, newline, rest = data[1:].partition(b"\n")
        if newline and name == _SIMPLE_FORM:
            return Simple(rest)
        if newline and name == SIGSTORE_FORM:
            return _from_json(rest)
        raise UnknownForm(f"a signature of the form {name[:40]!r}")
    if data and data[0] in OPENPGP:
        return Simple(data)
    raise UnknownForm("a signature that is no OpenPGP message")


def _from_json(data: bytes) -> Attachment:
    try:
        found = bounded_json(data, "a sigstore signature", values=1000)
        annotations = {str(key): str(value) for key, value in (found.get("annotations") or {}).items()}
        return Attachment(base64.b64decode(found["payload"], validate=True), annotations)
    except (BadJson, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnknownForm(f"a sigstore signature that cannot be read: {error}") from error
