"""storage/registry/client: what it asks of a server."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from storage.digest import Digest
from storage.manifest import Descriptor
from storage.reference import Reference
from storage.registry.auth import Credentials
from storage.registry.client import Client
from storage.registry.errors import RegistryUnavailable
from storage.registry.options import ClientOptions
from storage.registry.registries_conf import PullSource

MANIFEST = b'{"schemaVersion": 2, "config": {}}' * 20


def compressing_server() -> TestServer:
    """A registry with a token server that compress whatever a client takes compressed."""

    async def token(request: web.Request) -> web.Response:
        answer = web.json_response({"token": request.headers.get("Authorization", "")[:5] + "-token"})
        answer.enable_compression()
        return answer

    async def manifest(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer Basic-token":
            challenge = f'Bearer realm="{request.url.origin() / "token"}",service="s"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        answer = web.Response(body=MANIFEST, content_type="application/vnd.oci.image.manifest.v1+json")
        answer.enable_compression()
        return answer

    application = web.Application()
    application.router.add_get("/token", token)
    application.router.add_get("/v2/{rest:.*}", manifest)
    return TestServer(application)


async def test_a_server_that_compresses_when_it_may_is_understood() -> None:
    async with compressing_server() as server:
        source = PullSource(f"{server.host}:{server.port}", "team/app", insecure=True, is_mirror=False)
        async with Client(source, Credentials("user", "pass"), ClientOptions(attempts=1)) as client:
            served = await client.manifest(Reference.parse("registry.test/team/app:v1"))
    assert (served.data, served.digest) == (MANIFEST, Digest.of(MANIFEST))


def cutting_server(data: bytes, piece: int, asked: list[int]) -> TestServer:
    """A registry that cuts every connection after ``piece`` bytes of the blob."""

    async def blob(request: web.Request) -> web.StreamResponse:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        asked.append(start)
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(data) - start
        await response.prepare(request)
        await response.write(data[start : start + piece])
        assert request.transport is not None
        request.transport.close()
        return response

    async def root(_: web.Request) -> web.Response:
        return web.Response()

    application = web.Application()
    application.router.add_get("/v2/", root)
    application.router.add_get("/v2/{rest:.+}", blob)
    return TestServer(application)


@pytest.mark.parametrize(
    ("size", "piece", "whole"), [(2000, 200, True), (2000, 10, False), (10 << 20, 1000, False)]
)
async def test_a_blob_in_pieces_is_taken_up_as_long_as_the_pieces_are_worth_it(
    size: int, piece: int, whole: bool
) -> None:
    data, asked = bytes(range(250)) * (size // 250), list[int]()
    descriptor = Descriptor("", Digest.of(data), len(data))
    async with cutting_server(data, piece, asked) as server:
        source = PullSource(f"{server.host}:{server.port}", "team/app", insecure=True, is_mirror=False)
        options = ClientOptions(attempts=3, backoff_s=0.0)
        async with Client(source, None, options) as client:
            if whole:
                assert b"".join([chunk async for chunk in client.blob(descriptor)]) == data
            else:
                with pytest.raises(RegistryUnavailable):
                    _ = [chunk async for chunk in client.blob(descriptor)]
                assert len(asked) == 3
