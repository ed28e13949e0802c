"""storage/pulls: who joins which pull."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from storage.catalogue import Image
from storage.options import Options
from storage.progress import Unwatched
from storage.pulls import Pulls, Terms
from storage.registry.auth import Credentials
from storage.registry.namespaced import AuthText
from storage.registry.options import ClientOptions
from storage.registry.registries_conf import Mirror, Registries, RegistryRule
from storage.signatures.policy import Policy
from storage.signatures.requirements import Reject

TERMS = Terms("q.io/a:1", None, Registries(), Policy(), (), Options())
SECRET = "s3cret"
CREDENTIALS = Credentials("me", SECRET, "identity-" + SECRET, "token-" + SECRET)
OTHERS = {
    "name": replace(TERMS, reference="q.io/a:2"),
    "credentials": replace(TERMS, credentials=CREDENTIALS),
    "password": replace(TERMS, credentials=replace(CREDENTIALS, password="other")),
    "identity token": replace(TERMS, credentials=replace(CREDENTIALS, identity_token="other")),
    "registry token": replace(TERMS, credentials=replace(CREDENTIALS, registry_token="other")),
    "whom credentials are for": replace(TERMS, credentials=replace(CREDENTIALS, server="q.io")),
    "policy": replace(TERMS, policy=Policy((Reject(),))),
    "policy of a scope": replace(TERMS, policy=Policy(transports={"docker": {"q.io": (Reject(),)}})),
    "mirror": replace(TERMS, registries=Registries((RegistryRule("q.io", "q.io", mirrors=(Mirror("m"),)),))),
    "alias": replace(TERMS, registries=Registries(aliases={"a": "q.io/a"})),
    "insecure host": replace(TERMS, registries=Registries(insecure=frozenset({"q.io"}))),
    "auth file": replace(TERMS, auth_files=(Path("/a.json"),)),
    "file of the namespace": replace(TERMS, own_auth=AuthText("f", SECRET.encode())),
    "client's bounds": replace(TERMS, options=Options(client=ClientOptions(attempts=1))),
}


async def refuse() -> Image:
    await asyncio.sleep(0)
    raise LookupError


async def test_everything_that_decides_the_outcome_keeps_pulls_apart() -> None:
    pulls, begun = Pulls(), 0

    async def work(_watch: object) -> Image:
        nonlocal begun
        begun += 1
        return await refuse()

    every = [TERMS, *OTHERS.values()]
    results = await asyncio.gather(*(pulls.run(terms, work) for terms in every * 3), return_exceptions=True)
    assert {type(result) for result in results} == {LookupError}
    assert begun == len(every)
    assert pulls.references() == []


async def test_no_secret_is_in_a_name_or_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    pulls = Pulls()

    async def work(_watch: object) -> Image:
        names.extend(str(task) for task in asyncio.all_tasks())
        return await refuse()

    names: list[str] = []
    with pytest.raises(LookupError):
        await pulls.run(replace(OTHERS["credentials"], own_auth=AuthText("f", SECRET.encode())), work)
    assert any("pull q.io/a:1" in name for name in names)
    assert "pull failed reference=q.io/a:1" in caplog.text
    assert SECRET not in caplog.text + "".join(names) + repr(list(OTHERS.values()))


class Seen(Unwatched):
    """What a watch is told at the end."""

    def __init__(self) -> None:
        self.ends: list[BaseException | None] = []

    def ended(self, error: BaseException | None) -> None:
        self.ends.append(error)


async def test_the_pull_that_begins_is_watched_and_who_joins_it_watches_nothing() -> None:
    pulls, seen, begun = Pulls(), Seen(), 0
    terms, refused = TERMS, ConnectionError("refused")

    def watch() -> Seen:
        nonlocal begun
        begun += 1
        return seen

    async def work(given: object) -> Image:
        assert given is seen
        await asyncio.sleep(0)
        raise refused

    await asyncio.gather(*(pulls.run(terms, work, watch) for _ in range(3)), return_exceptions=True)
    await asyncio.sleep(0)
    assert (begun, seen.ends) == (1, [refused])
