"""Fuzz targets of what registries and layers say.

    python -m tests.fuzz.registry [--seconds 60] [--seed 1] [target …]

A target takes bytes. Whatever they are, it returns, or raises one of the errors that have a meaning for the
caller (api/errors.py, and LayerFault in the unpack process); anything else is a fault in us. Nothing here
touches a network: answers are given to the conversation in place of those of a session.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from api.errors import PodwrightError
from api.ids import ImageId
from cri.grpc_errors import message_of
from cri.images.verbs import message
from storage.catalogue import Image
from storage.digest import Digest, chain_ids
from storage.manifest import Descriptor, Index, Manifest, Platform, choose, parse_config, parse_manifest
from storage.reference import Reference
from storage.registry.auth import Credentials
from storage.registry.challenge import parse_challenges
from storage.registry.client import Client
from storage.registry.conversation import Conversation, Reply
from storage.registry.options import ClientOptions
from storage.registry.origins import Trust, parse_url
from storage.registry.pace import Pace
from storage.registry.registries_conf import PullSource
from storage.unpack.faults import LayerFault, Limits
from storage.unpack.tar import Reader, Source
from tests.fuzz.streaming import mutate, pieces_of

Target = Callable[[bytes], None]

_HOST = "registry.test:5000"
_DIGEST = "sha256:" + "ab" * 32
_HERE = Platform("linux", "arm", "v7")
_ODD: tuple[object, ...] = (
    None, True, -1, 0, 10**30, 1 << 63, 1e999, float("nan"), "", "\0", "\ud800", "²", "٣", "x" * 5000, [], {},
    [[]], {"": ""}, [None], "sha256:" + "0" * 64, "\x1b]0;x\x07\n", ["\ud800"], {"a": "\udfff"}, 4294967295,
)  # fmt: skip


def manifest(data: bytes) -> None:
    """A manifest or index, and the choice of a platform."""
    document = parse_manifest(data)
    if isinstance(document, Index):
        choose(document, _HERE)


def config(data: bytes) -> None:
    """An image config, up to the message that lists show."""
    document = parse_config(data)
    shown = Image(
        ImageId(str(Digest.of(data))), (), (), len(data), document.config.user, document.config,
        chain_ids(document.diff_ids), document.created, pinned=False,
    )  # fmt: skip
    message(shown).SerializeToString()
    json.dumps([list(document.config.env), document.config.labels, document.created]).encode()


def header(data: bytes) -> None:
    """A challenge, and an address to be followed."""
    text = data.decode("utf-8", "surrogateescape")
    trust = Trust(_HOST, True, lambda host: host == "listed.test")
    for challenge in parse_challenges(text):
        trust.check(parse_url(challenge.get("realm")), "realm")
    trust.check(parse_url(text, URL(f"https://{_HOST}/v2/")), "redirect")


class _Body:
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def readany(self) -> bytes:
        data, self._data = self._data, b""
        return data


class _Answer:
    """What Reply uses of aiohttp's answer."""

    def __init__(self, data: bytes) -> None:
        head, _, body = data.partition(b"\n\n")
        status, *lines = head.decode("utf-8", "surrogateescape").split("\n")
        self.status = int(status) if status.isascii() and status.isdigit() and len(status) < 4 else 200
        self.headers = CIMultiDict(
            (name, value) for name, _, value in (line.partition(":") for line in lines)
        )
        self.content = _Body(body)

    def release(self) -> None:
        """Nothing is held."""

    async def __aenter__(self) -> "_Answer":
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is held."""


class _Scripted(Conversation):
    """A conversation whose answers are given."""

    def __init__(self, answers: Iterator[bytes], credentials: Credentials) -> None:
        source = PullSource(_HOST, "team/app", insecure=True, is_mirror=False)
        options = ClientOptions(attempts=2, backoff_s=0.0, backoff_limit_s=0.0)
        super().__init__(source, credentials, options, lambda host: host == "listed.test")
        self._answers = answers

    async def _ask(
        self,
        method: str,
        target: URL,
        *,
        own: bool,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
    ) -> Reply:
        for text in (str(target.raw_path_qs), *headers.values(), *(form or {}).values()):
            text.encode()
        response = cast(aiohttp.ClientResponse, _Answer(next(self._answers, b"500")))
        return Reply(response, target, own=own, pace=Pace(0, 0))


def conversation(data: bytes) -> None:
    """A pull's documents from scripted answers; an error of it is one line of UTF-8."""
    asyncio.run(_converse(data))


async def _converse(data: bytes) -> None:
    scripted = _Scripted(iter(data.split(b"\n==\n")), Credentials("user", "secret"))
    source = PullSource(_HOST, "team/app", insecure=True, is_mirror=False)
    client = Client(source, None, ClientOptions(attempts=2, backoff_s=0.0, backoff_limit_s=0.0))
    client._conversation = scripted
    try:
        served = await client.manifest(Reference.parse(f"{_HOST}/team/app:v1"))
        document = parse_manifest(served.data)
        wanted = document.config if isinstance(document, Manifest) else choose(document, _HERE)
        parse_config(await client.small_blob(Descriptor("", wanted.digest, 1000), 1000))
    except PodwrightError as error:
        if len(message_of(error).encode().splitlines()) != 1:
            raise AssertionError(f"more than a line: {error}") from error
        raise


def tar(data: bytes) -> None:
    """Entries of a layer; where its bytes are cut does not matter."""
    limits = Limits(entries=1000, header_bytes=1 << 16)
    chance = random.Random(len(data))
    told = []
    for pieces in ([data], pieces_of(data, chance)):
        try:
            told.append(str(list(Reader(Source(iter(pieces)), limits))))
        except LayerFault as fault:
            told.append(f"{fault.kind} {fault.text} {fault.entry}")
    assert told[0] == told[1]


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


_CONFIG = {
    "architecture": "arm", "os": "linux", "variant": "v7", "created": "2020-01-01T00:00:00Z",
    "config": {
        "User": "1000:1000", "Env": ["A=b"], "Entrypoint": ["/x"], "Cmd": ["y"], "WorkingDir": "/",
        "Labels": {"a": "b"}, "Volumes": {"/data": {}}, "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGTERM",
    },
    "rootfs": {"type": "layers", "diff_ids": [_DIGEST]}, "history": [{"created_by": "x"}],
}  # fmt: skip
_MANIFEST = {
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": _DIGEST, "size": 7},
    "layers": [{"mediaType": "x", "digest": _DIGEST, "size": 7, "urls": ["http://elsewhere.test/"]}],
}  # fmt: skip
_INDEX = {
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": [
        {
            "mediaType": "x", "digest": _DIGEST, "size": 7,
            "platform": {"os": "linux", "architecture": "arm", "variant": "v6"},
        },
    ],
}  # fmt: skip


def seeds(name: str) -> list[bytes]:
    """Well-formed input to start from."""
    match name:
        case "manifest":
            return [_json(_MANIFEST), _json(_INDEX)]
        case "config":
            return [_json(_CONFIG)]
        case "header":
            return [
                b'Bearer realm="https://auth.test/token",service="s",scope="r:a/b:pull", Basic realm="x"',
                b"https://user:pass@[fe80::1%25eth0]:443/a?b#c",
                b"//0xa9fea9fe/latest",
                b"../../x",
            ]
        case "conversation":
            return [
                _conversation(),
                _conversation().replace(b"registry.test:5000/token", b"listed.test/token"),
            ]
        case _:
            return [_tar()]


def _conversation() -> bytes:
    challenge = b'401\nWWW-Authenticate:Bearer realm="https://registry.test:5000/token",service="s"'
    moved = b"307\nLocation:http://listed.test/store"
    small = _json(_CONFIG)
    found = json.loads(_json(_MANIFEST))
    found["config"]["digest"] = str(Digest.of(small))
    return b"\n==\n".join(
        [
            b"200\n\n{}", challenge, b'200\nX:y\n\n{"token":"t"}', moved, b"200\n\n" + _json(found),
            b"503\nRetry-After:1", moved, b"200\n\n" + small,
        ]
    )  # fmt: skip


def _tar() -> bytes:
    import io
    import tarfile

    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as file:
        for name, kind in (("d", tarfile.DIRTYPE), ("d/f", tarfile.REGTYPE), ("l", tarfile.SYMTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, "d/" + "x" * 120, 5 if name == "d/f" else 0
            member.pax_headers = {"mtime": "1.5", "uid": "7", "SCHILY.xattr.user.a": "b"}
            file.addfile(member, io.BytesIO(b"12345"))
    return raw.getvalue()[:8192]


TARGETS: dict[str, Target] = {
    "manifest": manifest,
    "config": config,
    "header": header,
    "conversation": conversation,
    "tar": tar,
}


def changed(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed at random; or, of a JSON document, one value that is odd."""
    if chance.random() < 0.5:
        return mutate(data, chance)
    try:
        document = json.loads(data)
    except ValueError:
        return mutate(data, chance)
    _make_odd(document, chance)
    return _json(document)


def _make_odd(document: Any, chance: random.Random) -> None:
    while isinstance(document, dict | list) and document:
        key = chance.choice(list(document) if isinstance(document, dict) else range(len(document)))
        if chance.random() < 0.4 or not isinstance(document[key], dict | list):
            document[key] = chance.choice(_ODD)
            return
        document = document[key]


def fuzz(name: str, chance: random.Random, *, rounds: int, until: float = float("inf")) -> int:
    """Mutate and try; how many inputs were tried. An AssertionError carries the input that did wrong."""
    target, corpus = TARGETS[name], seeds(name)
    for done in range(rounds):
        if time.monotonic() >= until:
            return done
        data = changed(chance.choice(corpus), chance)
        try:
            target(data)
        except (PodwrightError, LayerFault):
            pass
        except Exception as error:
            raise AssertionError(f"{name} fails on {data!r}: {error!r}") from error
        if len(corpus) < 200 and chance.random() < 0.05:
            corpus.append(data)
    return rounds


def main() -> int:
    """Run the targets for a while."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="target")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.targets:
        until = time.monotonic() + options.seconds / len(options.targets)
        tried = fuzz(name, random.Random(options.seed), rounds=sys.maxsize, until=until)
        print(f"{name}: {tried} inputs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
