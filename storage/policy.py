"""policy.json (containers-policy.json(5)), as far as "insecureAcceptAnything" and "reject" go.

Requirements on signatures are an error when they apply: skipping them would accept what the
administrator meant to refuse. Without a file every image is accepted.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.errors import InvalidArgument, PermissionDenied, Unimplemented
from host.files import read_bounded
from storage.reference import Reference

_FILE_LIMIT = 1 << 20
_TRANSPORT = "docker"
_ACCEPT = "insecureAcceptAnything"


class BadPolicy(InvalidArgument):
    """policy.json cannot be read as such."""


class RejectedByPolicy(PermissionDenied):
    """policy.json rejects the image; the text begins as the kubelet expects it."""


class SignaturesUnsupported(Unimplemented):
    """policy.json wants a signature verified, which this version cannot do."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Requirement types by scope; scope "" is the transport's default, then ``default`` holds."""

    default: tuple[str, ...] = (_ACCEPT,)
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: str = "no policy"

    @classmethod
    def load(cls, path: Path) -> "Policy":
        """Read a file; one that is not there accepts everything. Blocking."""
        try:
            data = read_bounded(path, _FILE_LIMIT)
        except FileNotFoundError:
            return cls()
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: bytes, source: str) -> "Policy":
        """Read a file's content.

        Raises:
            BadPolicy: naming ``source``.
        """
        try:
            document = json.loads(data)
            default = _types(document["default"])
            scopes = document.get("transports", {}).get(_TRANSPORT, {})
            return cls(default, {scope: _types(wanted) for scope, wanted in scopes.items()}, source)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadPolicy(f"{source}: not a policy: {error}") from error

    def check(self, reference: Reference) -> None:
        """Return when the policy lets an image in.

        Raises:
            RejectedByPolicy: it says "reject".
            SignaturesUnsupported: it wants a signature.
        """
        scope, wanted = self._requirements(reference)
        for kind in wanted:
            if kind == _ACCEPT:
                continue
            where = f"{reference}: {self.source}, scope {scope or 'default'!r}"
            if kind == "reject":
                raise RejectedByPolicy(f"SignatureValidationFailed: {where} rejects it")
            raise SignaturesUnsupported(
                f"SignatureValidationFailed: {where} wants {kind!r}, which is not supported"
            )

    def unsupported(self) -> Iterator[str]:
        """The scopes, "" for all others, whose images are refused for want of what they ask."""
        for scope, wanted in {"": self.default, **self.scopes}.items():
            if any(kind not in (_ACCEPT, "reject") for kind in wanted):
                yield scope

    def _requirements(self, reference: Reference) -> tuple[str, tuple[str, ...]]:
        for scope in _scopes(reference):
            if scope in self.scopes:
                return scope, self.scopes[scope]
        return "", self.default


def _types(requirements: Any) -> tuple[str, ...]:
    """The types of a non-empty list of requirements."""
    if not isinstance(requirements, list) or not requirements:
        raise ValueError("a list of requirements is empty or missing")
    return tuple(str(requirement["type"]) for requirement in requirements)


def _scopes(reference: Reference) -> Iterator[str]:
    """From the image itself over its parents and the registry's wildcards to the transport's default."""
    yield str(reference)
    name = reference.name
    while name:
        yield name
        name = name.rpartition("/")[0]
    host = reference.registry
    while "." in host:
        host = host.partition(".")[2]
        yield f"*.{host}"
    yield ""
