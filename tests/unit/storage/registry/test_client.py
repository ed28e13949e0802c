"""storage/registry/client: what it asks of a server."""

from aiohttp import web
from aiohttp.test_utils import TestServer

from storage.digest import Digest
from storage.reference import Reference
from storage.registry.auth import Credentials
from storage.registry.client import Client
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
