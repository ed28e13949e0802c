"""Credential helpers: programs that hold credentials, asked by docker's protocol (docker-credential-helpers).

``docker-credential-NAME get`` reads a registry and writes ``{"ServerURL", "Username", "Secret"}``; the user
``<token>`` says that the secret is an identity token. A helper is found in the absolute directories of PATH,
gets PATH, HOME and the language and nothing else of ours, and has a bounded time and a bounded answer. What
it wrote is in no error and no log: it may be a secret even where the helper failed.
"""

import asyncio
import logging
import os
import pwd
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from api.errors import DeadlineExceeded, PodwrightError, Unavailable
from host import environment
from host.processes import run
from storage.bounded_json import BadJson, bounded_json
from storage.registry.auth import Credentials, HelperEntry, find, read

log = logging.getLogger(__name__)

FILES = "containers-auth.json"  # the entry of credential-helpers that stands for auth files
_NOT_FOUND = b"credentials not found in native keychain"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_OUTPUT_LIMIT = 256 << 10
_VALUES = 100


class CredentialHelperFailed(Unavailable):
    """A credential helper is not there, or gives no answer; the text says how to see why."""


async def search(
    helpers: Sequence[str], paths: Sequence[Path], registry: str, repository: str, timeout_s: float
) -> Credentials | None:
    """The first credentials for a repository, of ``helpers`` in order; FILES among them means ``paths``.

    Raises:
        BadAuthFile: a file is there and is malformed.
        CredentialHelperFailed: a helper failed, and nobody else has any.
    """
    failure: CredentialHelperFailed | None = None
    async for entry in _entries(helpers, paths, registry, repository):
        if isinstance(entry, Credentials):
            return entry
        try:
            if (found := await ask(entry, registry, timeout_s)) is not None:
                return found
        except CredentialHelperFailed as error:
            log.warning("a credential helper failed: %s", error)
            failure = failure or (error if entry.needed else None)
    if failure is not None:
        raise failure
    return None


async def _entries(
    helpers: Sequence[str], paths: Sequence[Path], registry: str, repository: str
) -> AsyncIterator[Credentials | HelperEntry]:
    """What there is for a repository, each read when it is asked for."""
    for helper in helpers:
        if helper != FILES:
            yield HelperEntry(helper, registry, "registries.conf: credential-helpers")
            continue
        for path in paths:
            entry = find(await asyncio.to_thread(read, path), registry, repository, str(path))
            if entry is not None:
                yield entry


async def ask(entry: HelperEntry, registry: str, timeout_s: float) -> Credentials | None:
    """What a helper has for a registry; None when it has nothing.

    Raises:
        CredentialHelperFailed: as it says.
    """
    program = _program(entry)
    way_out = f"try: echo {entry.server} | {program} get"
    try:
        done = await run(
            [program, "get"],
            stdin=entry.server.encode(),
            variables={"HOME": _home()},
            timeout_s=timeout_s,
            output_limit=_OUTPUT_LIMIT,
        )
    except DeadlineExceeded as error:
        raise CredentialHelperFailed(
            f"{entry.source}: {program} did not end within {timeout_s:g} s; {way_out}"
        ) from error
    except PodwrightError as error:
        raise CredentialHelperFailed(f"{entry.source}: {error}") from error
    if done.returncode != 0:
        if done.stdout.strip() == _NOT_FOUND:
            return None
        raise CredentialHelperFailed(
            f"{entry.source}: {program} failed with status {done.returncode}; {way_out}"
        )
    try:
        answer = None if done.truncated else bounded_json(done.stdout, program, values=_VALUES)
        found = _credentials(answer)
    except (BadJson, PodwrightError):
        found = None  # the words of these errors could quote the answer
    if found is None:
        raise CredentialHelperFailed(
            f"{entry.source}: {program} answers with something else than credentials; {way_out}"
        )
    if not found.are_for(registry):
        raise CredentialHelperFailed(
            f"{entry.source}: {program} answers with credentials of another registry; {way_out}"
        )
    return found or None


def _program(entry: HelperEntry) -> str:
    if not _NAME.fullmatch(entry.name):
        raise CredentialHelperFailed(f"{entry.source}: {entry.name!r} is no name of a credential helper")
    name = f"docker-credential-{entry.name}"
    path = environment.of_helpers(os.environ)["PATH"]
    places = [place for place in path.split(":") if place.startswith("/")]
    program = shutil.which(name, path=":".join(places)) if places else None
    if program is None:
        raise CredentialHelperFailed(
            f"{entry.source}: {entry.server} uses the credential helper {entry.name!r}, and {name} is not in "
            f"the daemon's PATH ({':'.join(places)}): install it there, or remove the entry"
        )
    return program


def _home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"


def _credentials(answer: Any) -> Credentials | None:
    if not isinstance(answer, dict):
        return None
    texts = [answer.get(key) or "" for key in ("Username", "Secret", "ServerURL")]
    if not all(isinstance(text, str) for text in texts):
        return None
    username, secret, server = texts
    if username == "<token>":
        return Credentials(identity_token=secret, server=server).check("a credential helper")
    return Credentials(username, secret, server=server).check("a credential helper")
