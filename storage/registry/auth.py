"""Credentials for registries, from the request or from auth.json files (containers-auth.json(5)).

Keys of "auths" are a registry or a registry with a path, and the longest that covers the repository wins:
``quay.io/team/app``, ``quay.io/team``, ``quay.io``. Before them "credHelpers" names a helper for a registry,
and behind them "credsStore" one for all; storage/registry/helpers.py asks them.
"""

import base64
import binascii
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.errors import InvalidArgument, PodwrightError
from host.files import read_bounded
from storage.bounded_json import BadJson, bounded_json

log = logging.getLogger(__name__)

_FILE_LIMIT = 1 << 20
_LINE_ENDS = str.maketrans("", "", "\r\n")
_VALUES = 50_000
_HUB_LEGACY_KEYS = ("index.docker.io", "docker.io")
_HUB_SERVER = "https://index.docker.io/v1/"  # what docker asks its store for
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_TOKEN = re.compile(r"[\x21-\x7e]*")  # what may stand in a header


class BadAuthFile(InvalidArgument):
    """A file with credentials cannot be read as such."""


class BadCredentials(InvalidArgument):
    """Credentials hold what no registry can be sent."""


@dataclass(frozen=True, slots=True)
class HelperEntry:
    """A file hands a registry to a credential helper, which is asked for ``server``.

    One that is not ``needed`` is a store for all registries: public images can be had without it.
    """

    name: str
    server: str
    source: str
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a registry may ask for; secrets are kept out of ``repr``.

    ``server`` is the registry that whoever gave them says they are for, "" when nothing was said.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    server: str = ""

    def check(self, source: str) -> "Credentials":
        """These, when they can be sent.

        Raises:
            BadCredentials: naming ``source``, and not what is in them.
        """
        texts = (self.username, self.password, self.identity_token)
        if not _TOKEN.fullmatch(self.registry_token) or any("\0" in text for text in texts):
            raise BadCredentials(f"{source}: credentials have characters that cannot be sent")
        try:
            "".join(texts).encode()
        except UnicodeEncodeError as error:
            raise BadCredentials(f"{source}: credentials are no UTF-8") from error
        return self

    def are_for(self, registry: str) -> bool:
        """Whether they may go to ``registry``, by what was said of them."""
        said = self.server.partition("://")[2] or self.server
        host = said.partition("/")[0]
        return not host or host == registry or {host, registry} <= _HUB_NAMES

    def __bool__(self) -> bool:
        return bool(self.username or self.identity_token or self.registry_token)


def default_paths(environment: Mapping[str, str] | None = None) -> list[Path]:
    """The auth files to look at, in order; ``REGISTRY_AUTH_FILE`` stands alone when it is set."""
    env = os.environ if environment is None else environment
    if named := env.get("REGISTRY_AUTH_FILE"):
        return [Path(named)]
    runtime = env.get("XDG_RUNTIME_DIR")
    home = Path(env.get("HOME") or "/root")
    config = Path(env["XDG_CONFIG_HOME"]) if env.get("XDG_CONFIG_HOME") else home / ".config"
    return [
        Path(runtime) / "containers/auth.json"
        if runtime
        else Path(f"/run/containers/{os.getuid()}/auth.json"),
        config / "containers/auth.json",
        Path(env["DOCKER_CONFIG"]) / "config.json"
        if env.get("DOCKER_CONFIG")
        else home / ".docker/config.json",
    ]


def read(path: Path) -> bytes:
    """An auth file, empty when it is not there; blocking.

    Raises:
        BadAuthFile: it cannot be read.
    """
    try:
        return read_bounded(path, _FILE_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise BadAuthFile(f"{path}: {error.strerror or error}") from error


def find(data: bytes, registry: str, repository: str, source: str) -> Credentials | HelperEntry | None:
    """The credentials in one auth file's content, or who has them; ``source`` names it in errors.

    Raises:
        BadAuthFile: it is malformed.
    """
    try:
        document = bounded_json(data or b"{}", source, values=_VALUES)
    except BadJson as error:
        raise BadAuthFile(str(error)) from error
    if not isinstance(document, dict):
        raise BadAuthFile(f"{source}: not a JSON object")
    auths = _normalised(_object(document, "auths", source))
    helpers = _object(document, "credHelpers", source)
    for key in (registry, *_HUB_LEGACY_KEYS) if registry == "docker.io" else (registry,):
        if key in helpers:
            return HelperEntry(_name(helpers[key], "credHelpers", source), key, source)
    for key in _keys(registry, repository):
        if key in auths and (found := _credentials(auths[key], key, source)) is not None:
            return found
    if store := _name(document.get("credsStore") or "", "credsStore", source):
        server = _HUB_SERVER if registry == "docker.io" else registry
        return HelperEntry(store, server, source, needed=False)
    return None


def _name(value: object, key: str, source: str) -> str:
    if not isinstance(value, str):
        raise BadAuthFile(f"{source}: {key} has something else than the name of a helper")
    return value


def _keys(registry: str, repository: str) -> Iterator[str]:
    path = f"{registry}/{repository}"
    while "/" in path:
        yield path
        path = path.rpartition("/")[0]
    if registry == "docker.io":
        yield from _HUB_LEGACY_KEYS
    else:
        yield registry


def _normalised(auths: Mapping[str, Any]) -> dict[str, Any]:
    """Keys as the old docker client wrote them: with a scheme and an API version. Exact keys win."""
    result: dict[str, Any] = {}
    for key, value in auths.items():
        bare = key
        for scheme in ("https://", "http://"):
            bare = bare.removeprefix(scheme)
        if bare != key:
            bare = bare.partition("/")[0]
        if bare == key or bare not in result:
            result[bare.rstrip("/")] = value
    return result


def _object(document: Mapping[str, Any], key: str, source: str) -> Mapping[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadAuthFile(f"{source}: {key} is not an object")
    return value


def _credentials(entry: object, key: str, source: str) -> Credentials | None:
    """What an entry says; one that cannot be read says nothing, since public images can be had without."""
    if entry is not None and not isinstance(entry, dict):
        raise BadAuthFile(f"{source}: the entry of {key} is not an object")
    try:
        return _read(entry or {}, key, source)
    except BadAuthFile as error:
        log.warning("credentials are left out: %s", error)
        return None


def _read(entry: object, key: str, source: str) -> Credentials | None:
    if not isinstance(entry, dict):
        raise BadAuthFile(f"{source}: the entry of {key} is not an object")
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        username, password = decode_auth(str(entry["auth"]), f"{source}: {key}")
    found = Credentials(
        username, password, str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or "")
    )
    return found.check(f"{source}: {key}") if found else None


def decode_auth(text: str, source: str) -> tuple[str, str]:
    """User and password of an ``auth`` field: base64 of ``user:password``, in lines too, as base64(1) writes.

    Raises:
        BadAuthFile: it is something else.
    """
    try:
        decoded = base64.b64decode(text.translate(_LINE_ENDS), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise BadAuthFile(f"{source}: auth is not base64 of user:password") from error
    username, colon, password = decoded.partition(":")
    if not colon:
        raise BadAuthFile(f"{source}: auth is not base64 of user:password")
    return username, password.rstrip("\0")


def examine(path: Path) -> list[str]:
    """What is wrong with a file of credentials, a line each, for any registry; blocking."""
    try:
        data = read_bounded(path, _FILE_LIMIT)
        find(data, "", "", str(path))
    except OSError as error:
        return [f"{path}: {error.strerror}"]
    except PodwrightError as error:
        return [str(error)]
    document = bounded_json(data or b"{}", str(path), values=_VALUES)
    troubles = []
    for key, entry in _object(document, "auths", str(path)).items():
        try:
            _read({} if entry is None else entry, key, str(path))
        except InvalidArgument as error:
            troubles.append(str(error))
    return troubles
