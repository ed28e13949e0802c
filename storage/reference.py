"""Image references (distribution's grammar): ``[domain/]path[:tag][@digest]``.

A name whose first part is no domain (no dot, no port, not ``localhost``) is short: which registry it
means is for registries.conf to say (storage/registry/registries_conf.py). Names are kept fully
qualified everywhere else: ``docker.io/library/busybox:latest``.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from api.errors import InvalidArgument
from storage.digest import Digest, InvalidDigest

DOCKER_HUB = "docker.io"
_HUB_ALIASES = frozenset({"index.docker.io", "registry-1.docker.io"})
_NAME_LIMIT = 255

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_HEX_ID = re.compile(r"[0-9a-f]{64}")


class InvalidReference(InvalidArgument):
    """A text is no image reference."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"invalid image reference {text[:300]!r}: {why}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference; ``registry`` is "" for a short name."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference as a user writes it.

        Raises:
            InvalidReference: the grammar does not allow it.
        """
        rest, at, digest_text = text.partition("@")
        digest = _parse_digest(text, digest_text) if at else None
        name, tag = _split_tag(rest)
        if tag is not None and not _TAG.fullmatch(tag):
            raise InvalidReference(text, f"bad tag {tag!r}")
        registry, repository = _split_domain(name)
        if registry and not _DOMAIN.fullmatch(registry):
            raise InvalidReference(text, f"bad registry {registry!r}")
        if repository != repository.lower():
            raise InvalidReference(text, "the repository must be in lower case")
        if not _PATH.fullmatch(repository):
            raise InvalidReference(text, f"bad repository {repository!r}")
        if len(name) > _NAME_LIMIT:
            raise InvalidReference(text, f"the name is longer than {_NAME_LIMIT} characters")
        if not registry and _HEX_ID.fullmatch(repository):
            raise InvalidReference(text, "64 hex digits are an id, not a name")
        registry, repository = _normalise_hub(registry, repository)
        return cls(registry, repository, tag, digest)

    @property
    def is_short(self) -> bool:
        """True when no registry is named."""
        return not self.registry

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository

    def qualified(self, registry: str) -> "Reference":
        """The same with a registry; Docker Hub's own images get their ``library/``."""
        registry, repository = _normalise_hub(registry, self.repository)
        return replace(self, registry=registry, repository=repository)

    def with_default_tag(self) -> "Reference":
        """``latest`` where neither tag nor digest is given; the digest alone where both are."""
        if self.digest is not None:
            return replace(self, tag=None)
        return self if self.tag is not None else replace(self, tag="latest")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return self.name + tag + digest


def _parse_digest(text: str, digest: str) -> Digest:
    try:
        return Digest.parse(digest)
    except InvalidDigest as error:
        raise InvalidReference(text, str(error)) from error


def _split_tag(text: str) -> tuple[str, str | None]:
    """A colon after the last slash begins the tag; one before it belongs to the registry's port."""
    head, slash, last = text.rpartition("/")
    last, colon, tag = last.partition(":")
    return head + slash + last, tag if colon else None


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return first, rest
    return "", name


def _normalise_hub(registry: str, repository: str) -> tuple[str, str]:
    if registry in _HUB_ALIASES:
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository
