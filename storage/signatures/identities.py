"""Whether a signature's name fits the image that was asked for (containers-policy.json(5), signedIdentity).

The signed name S is the one in the signature, I the one by which the image was asked for: never that of a
mirror. Names are compared fully expanded.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from storage.reference import DOCKER_HUB, InvalidReference, Reference
from storage.signatures.strict import Malformed, Table

_HOST = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]+)?"
)


class Identity(Protocol):
    """A rule; ``str`` of it is how messages call it."""

    def accepts(self, signed: str, asked: Reference) -> bool:
        """Whether a signature of this name is one of the image; False for what is no name."""


def parse_name(text: str) -> Reference | None:
    """A name as docker reads it, fully expanded; None when it is none."""
    try:
        found = Reference.parse(text)
    except InvalidReference:
        return None
    return found.qualified(DOCKER_HUB) if found.is_short else found


def _is_bare(reference: Reference) -> bool:
    return reference.tag is None and reference.digest is None


@dataclass(frozen=True, slots=True)
class MatchExact:
    """S and I are the same, and more than a repository."""

    def accepts(self, signed: str, asked: Reference) -> bool:
        found = parse_name(signed)
        return found is not None and not _is_bare(found) and not _is_bare(asked) and found == asked

    def __str__(self) -> str:
        return "matchExact"


@dataclass(frozen=True, slots=True)
class MatchRepoDigestOrExact:
    """As MatchExact for a tag; the same repository for an image that was asked for by digest."""

    def accepts(self, signed: str, asked: Reference) -> bool:
        found = parse_name(signed)
        if found is None or _is_bare(found):
            return False
        if asked.tag is not None:
            return found == asked
        return asked.digest is not None and found.name == asked.name

    def __str__(self) -> str:
        return "matchRepoDigestOrExact"


@dataclass(frozen=True, slots=True)
class MatchRepository:
    """The same repository."""

    def accepts(self, signed: str, asked: Reference) -> bool:
        found = parse_name(signed)
        return found is not None and found.name == asked.name

    def __str__(self) -> str:
        return "matchRepository"


@dataclass(frozen=True, slots=True)
class ExactReference:
    """S is this name, whatever was asked for."""

    reference: Reference

    def accepts(self, signed: str, asked: Reference) -> bool:
        found = parse_name(signed)
        return found is not None and not _is_bare(found) and found == self.reference

    def __str__(self) -> str:
        return f"exactReference {self.reference}"


@dataclass(frozen=True, slots=True)
class ExactRepository:
    """S is of this repository, whatever was asked for."""

    repository: str

    def accepts(self, signed: str, asked: Reference) -> bool:
        found = parse_name(signed)
        return found is not None and found.name == self.repository

    def __str__(self) -> str:
        return f"exactRepository {self.repository}"


@dataclass(frozen=True, slots=True)
class RemapIdentity:
    """MatchRepoDigestOrExact, after ``prefix`` of I has become ``signed_prefix``."""

    prefix: str
    signed_prefix: str

    def accepts(self, signed: str, asked: Reference) -> bool:
        name = asked.name
        if name == self.prefix or name.startswith(f"{self.prefix}/"):
            moved = parse_name(self.signed_prefix + str(asked)[len(self.prefix) :])
            if moved is None:
                return False
            asked = moved
        return MatchRepoDigestOrExact().accepts(signed, asked)

    def __str__(self) -> str:
        return f"remapIdentity {self.prefix} to {self.signed_prefix}"


def parse_identity(table: Table) -> Identity:
    """The value of ``signedIdentity``.

    Raises:
        Malformed: the type is unknown, or a key is, or a name is none.
    """
    identity = _parse(table, table.text("type"))
    table.end()
    return identity


def _parse(table: Table, kind: str) -> Identity:
    match kind:
        case "matchExact":
            return MatchExact()
        case "matchRepoDigestOrExact":
            return MatchRepoDigestOrExact()
        case "matchRepository":
            return MatchRepository()
        case "exactReference":
            reference = _name(table, "dockerReference")
            if _is_bare(reference):
                raise Malformed(f"{table.what}: dockerReference has neither tag nor digest")
            return ExactReference(reference)
        case "exactRepository":
            return ExactRepository(_name(table, "dockerRepository").name)
        case "remapIdentity":
            return RemapIdentity(_prefix(table, "prefix"), _prefix(table, "signedPrefix"))
        case _:
            raise Malformed(f"{table.what}: unknown type {kind!r}")


def _name(table: Table, key: str) -> Reference:
    text = table.text(key)
    found = parse_name(text)
    if found is None:
        raise Malformed(f"{table.what}: {key} {text!r} is no image name")
    return found


def _prefix(table: Table, key: str) -> str:
    """A registry, or a namespace or repository written out in full."""
    text = table.text(key)
    if _HOST.fullmatch(text):
        return text
    found = parse_name(text)
    if found is None or not _is_bare(found) or found.name != text:
        raise Malformed(f"{table.what}: {key} {text!r} is neither a registry nor a full name without a tag")
    return text
