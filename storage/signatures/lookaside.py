"""registries.d (containers-registries.d(5)): where the signatures of an image lie, beside its registry.

Each field is looked for by itself: a scope that does not say it leaves it to its parent, and at last to
``default-docker``. Without any there is the local directory that podman and skopeo write to.
"""

import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host.files import FileTooLarge, read_bounded
from storage.digest import Digest
from storage.reference import Reference
from storage.signatures.errors import BadPolicy
from storage.signatures.scopes import of_image

DEFAULT_LOOKASIDE = "file:///var/lib/containers/sigstore"
_FILE_LIMIT = 1 << 20
_FILES = 1000
_ALIASES = 100
_SCHEMES = frozenset({"file", "http", "https"})


@dataclass(frozen=True, slots=True)
class Section:
    """What one scope says; "" and None where it says nothing."""

    lookaside: str = ""
    attachments: bool | None = None


@dataclass(frozen=True, slots=True)
class Lookasides:
    """All files of the directory."""

    default: Section = field(default_factory=Section)
    scopes: Mapping[str, Section] = field(default_factory=dict)

    @classmethod
    def load(cls, directory: Path) -> "Lookasides":
        """Read ``*.yaml`` of a directory that need not be there. Blocking.

        Raises:
            BadPolicy: naming the file; a scope, or the default, that two files speak of.
        """
        try:
            paths = sorted(path for path in directory.iterdir() if path.suffix == ".yaml")
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except OSError as error:
            raise BadPolicy(f"{directory}: {error.strerror}") from error
        if len(paths) > _FILES:
            raise BadPolicy(f"{directory} has more than {_FILES} files")
        result = cls()
        for path in paths:
            try:
                result = result.merged(read_bounded(path, _FILE_LIMIT), str(path))
            except FileTooLarge as error:
                raise BadPolicy(str(error)) from error
            except OSError as error:
                raise BadPolicy(f"{path}: {error.strerror}") from error
        return result

    def merged(self, data: bytes, source: str) -> "Lookasides":
        """This with a further file's content.

        Raises:
            BadPolicy: naming ``source``.
        """
        document = _yaml(data, source)
        default = self.default
        if document.get("default-docker") is not None:
            if default != Section():
                raise BadPolicy(f"{source}: default-docker is in another file too")
            default = _section(document["default-docker"], f"{source}: default-docker")
        scopes = dict(self.scopes)
        for scope, value in _mapping(document.get("docker"), f"{source}: docker").items():
            if scope in scopes:
                raise BadPolicy(f"{source}: docker: {scope} is in another file too")
            scopes[str(scope)] = _section(value, f"{source}: docker: {scope}")
        return Lookasides(default, scopes)

    def base(self, reference: Reference) -> str:
        """The look-aside of an image: an URL."""
        return next(
            (each.lookaside for each in self._sections(reference) if each.lookaside), DEFAULT_LOOKASIDE
        )

    def attachments(self, reference: Reference) -> bool:
        """Whether the registry is asked for sigstore attachments of an image."""
        said = (each.attachments for each in self._sections(reference))
        return next((each for each in said if each is not None), False)

    def _sections(self, reference: Reference) -> Iterator[Section]:
        for scope in of_image(reference):
            if scope in self.scopes:
                yield self.scopes[scope]
        yield self.default


def address(base: str, repository: str, digest: Digest, number: int) -> str:
    """Where the ``number``-th signature of a manifest lies, from 1."""
    return f"{base.rstrip('/')}/{repository}@sha256={digest.hex}/signature-{number}"


def _yaml(data: bytes, source: str) -> Mapping[str, Any]:
    import yaml

    text = data.decode(errors="replace")
    if text.count("&") > _ALIASES and text.count("*") > _ALIASES:
        raise BadPolicy(f"{source}: more than {_ALIASES} anchors and aliases")
    try:
        return _mapping(yaml.safe_load(text), source)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadPolicy(f"{source}: {' '.join(str(error).split())}") from error


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadPolicy(f"{what} is no mapping")
    return value


def _section(value: Any, what: str) -> Section:
    table = _mapping(value, what)
    lookaside = ""
    for key in ("lookaside", "sigstore"):  # the latter is the name of old
        lookaside = lookaside or _url(table.get(key), f"{what}: {key}")
    attachments = table.get("use-sigstore-attachments")
    if attachments is not None and not isinstance(attachments, bool):
        raise BadPolicy(f"{what}: use-sigstore-attachments is neither true nor false")
    return Section(lookaside, attachments)


def _url(value: Any, what: str) -> str:
    if value is None or value == "":
        return ""
    try:
        parsed = urllib.parse.urlsplit(str(value))
    except ValueError as error:
        raise BadPolicy(f"{what}: {error}") from error
    if parsed.scheme not in _SCHEMES or parsed.query or parsed.fragment:
        raise BadPolicy(f"{what} {str(value)!r} is no file, http or https URL")
    if parsed.scheme == "file" and (parsed.netloc or not parsed.path.startswith("/")):
        raise BadPolicy(f"{what} {str(value)!r} is no file:///absolute/path")
    return str(value)
