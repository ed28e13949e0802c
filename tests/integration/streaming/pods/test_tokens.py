"""URLs of a real daemon: each works once."""

import re

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import TIMEOUT_S, Client
from tests.integration.streaming.clients import refusal
from tests.integration.streaming.pods.conftest import Pod, Pods
from tests.integration.streaming.pods.remote import SPDY, exec_url, join
from tests.integration.streaming.test_server import SPDY as HEADERS

pytestmark = pytest.mark.root


async def status_of(url: str) -> int:
    return (await refusal(url, "POST", *HEADERS))[0]


def urls_of(client: Client, pod: Pod) -> list[str]:
    exec_request = pb.ExecRequest(container_id=pod.container, cmd=["true"], stdout=True)
    attach_request = pb.AttachRequest(container_id=pod.container, stdout=True)
    forward_request = pb.PortForwardRequest(pod_sandbox_id=pod.id)
    return [
        client.runtime.Exec(exec_request, timeout=TIMEOUT_S).url,
        client.runtime.Attach(attach_request, timeout=TIMEOUT_S).url,
        client.runtime.PortForward(forward_request, timeout=TIMEOUT_S).url,
    ]


async def test_unknown_tokens_are_not_found(pods: Pods, client: Client) -> None:
    for url in urls_of(client, pods.run()):
        match = re.fullmatch(r"http://127\.0\.0\.1:\d+/(?:exec|attach|portforward)/([\w-]{8,})", url)
        assert match is not None, url
        assert await status_of(url.replace(match[1], "a" * len(match[1]))) == 404
        assert await status_of(url[:-1]) == 404


async def test_used_tokens_are_not_found(pods: Pods, client: Client) -> None:
    url = exec_url(client, pods.run().container, "echo", "once")
    remote = await join(url, SPDY)
    assert await status_of(url) == 404  # also while the first use goes on
    assert await remote.exit_code() == 0
    assert remote.got("stdout") == b"once\n"
    await remote.leave()
    assert await status_of(url) == 404
