"""The choice of a network and its readiness, as configuration files come, go and break."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from cni.errors import NetworkNotReady, PluginFailed
from cni.nat import PortMapping
from cni.network import Network
from cni.pod import PodNetwork


def write(directory: Path, name: str, network: str, kind: str = "bridge", **keys: object) -> None:
    document = {"cniVersion": "1.0.0", "name": network, "plugins": [{"type": kind}], **keys}
    (directory / name).write_text(json.dumps(document))


@contextlib.asynccontextmanager
async def running(tmp_path: Path, default: str = "", recheck_s: float = 3600) -> AsyncIterator[Network]:
    plugins = tmp_path / "bin"
    plugins.mkdir(exist_ok=True)
    network = Network(
        tmp_path / "net.d", [plugins, tmp_path / "more"], tmp_path / "cache", default, recheck_s=recheck_s
    )
    await network.start()
    try:
        yield network
    finally:
        await network.close()


def pod(tmp_path: Path) -> PodNetwork:
    return PodNetwork("abc", tmp_path / "net", "default", "web", "u")


async def test_without_configuration_the_network_is_not_ready(tmp_path: Path) -> None:
    async with running(tmp_path) as network:
        ready = network.ready()
        assert (ready.ok, ready.reason) == (False, "NetworkPluginNotReady")
        assert "cni config uninitialized" in ready.message
        with pytest.raises(NetworkNotReady, match="cni config uninitialized"):
            await network.attach(pod(tmp_path))
        with pytest.raises(NetworkNotReady):
            await network.wait_ready(0.01)
        await network.detach(pod(tmp_path))


async def test_a_configuration_that_appears_makes_it_ready(tmp_path: Path) -> None:
    async with running(tmp_path) as network:
        waiting = asyncio.create_task(network.wait_ready(20))
        await asyncio.sleep(0)
        write(tmp_path / "net.d", "10-pods.conflist", "pods")
        await waiting
        assert network.ready().ok


async def test_a_broken_file_keeps_its_last_good_content(tmp_path: Path) -> None:
    async with running(tmp_path) as network:
        write(tmp_path / "net.d", "10-pods.conflist", "pods")
        await network.reload()
        (tmp_path / "net.d" / "10-pods.conflist").write_text("{")
        await network.reload()
        ready = network.ready()
        assert ready.ok
        assert "last good configuration" in ready.message
        assert "not JSON" in ready.message
        (tmp_path / "net.d" / "10-pods.conflist").unlink()
        await network.reload()
        assert not network.ready().ok


async def test_a_broken_first_file_says_why_there_is_no_network(tmp_path: Path) -> None:
    async with running(tmp_path) as network:
        (tmp_path / "net.d" / "10-pods.conflist").write_text('{"name": "pods"}')
        await network.reload()
        assert "10-pods.conflist: plugins must list" in network.ready().message


@pytest.mark.parametrize(("default", "expected"), [("", "no-such-a"), ("b", "no-such-b")])
async def test_the_first_or_the_named_network_is_chosen(tmp_path: Path, default: str, expected: str) -> None:
    async with running(tmp_path, default) as network:
        write(tmp_path / "net.d", "20-b.conflist", "b", "no-such-b")
        write(tmp_path / "net.d", "10-a.conflist", "a", "no-such-a")
        await network.reload()
        assert f"CNI plugin {expected} is in none of" in network.ready().message


async def test_a_missing_named_network_is_not_replaced(tmp_path: Path) -> None:
    async with running(tmp_path, "wanted") as network:
        write(tmp_path / "net.d", "10-a.conflist", "a")
        await network.reload()
        assert "no CNI configuration for the network 'wanted'" in network.ready().message


async def test_a_plugin_that_arrives_makes_it_ready(tmp_path: Path) -> None:
    async with running(tmp_path) as network:
        write(tmp_path / "net.d", "10-a.conflist", "a", "late")
        await network.reload()
        assert not network.ready().ok
        waiting = asyncio.create_task(network.wait_ready(20))
        await asyncio.sleep(0)
        (tmp_path / "bin" / "late").write_text("#!/bin/sh\n")
        (tmp_path / "bin" / "late").chmod(0o755)
        await waiting


async def test_status_of_a_plugin_counts_from_1_1(tmp_path: Path) -> None:
    async with running(tmp_path) as network:
        path = tmp_path / "bin" / "moody"
        path.write_text(
            '#!/bin/sh\ncat >/dev/null\necho \'{"code": 50, "msg": "no addresses left"}\'\nexit 1\n'
        )
        path.chmod(0o755)
        write(tmp_path / "net.d", "10-a.conflist", "a", "moody")
        await network.reload()
        assert network.ready().ok
        write(tmp_path / "net.d", "10-a.conflist", "a", "moody", cniVersion="1.1.0")
        await network.reload()
        assert "moody failed on STATUS: no addresses left" in network.ready().message


AGENT = """#!/bin/sh
cat >/dev/null
echo $CNI_COMMAND >>{asked}
[ $CNI_COMMAND != STATUS ] || [ -e {agent} ] || {{ echo '{{"code": 50, "msg": "no agent"}}'; exit 1; }}
echo '{{"supportedVersions": ["1.0.0", "1.1.0"]}}'
"""


def write_agents_plugin(tmp_path: Path) -> tuple[Path, Path]:
    """A plugin that is ready while a file exists where nobody watches; that file, and the log of commands."""
    agent, asked = tmp_path / "agent", tmp_path / "asked"
    path = tmp_path / "bin" / "agents"
    path.write_text(AGENT.format(agent=agent, asked=asked))
    path.chmod(0o755)
    return agent, asked


async def test_an_agent_that_comes_and_goes_is_noticed_without_a_change_of_files(tmp_path: Path) -> None:
    async with running(tmp_path, recheck_s=0.01) as network, asyncio.timeout(60):
        agent, _ = write_agents_plugin(tmp_path)
        write(tmp_path / "net.d", "10-a.conflist", "a", "agents", cniVersion="1.1.0")
        await network.reload()
        assert "no agent" in network.ready().message
        agent.touch()
        await network.wait_ready(60)
        agent.unlink()
        while network.ready().ok:
            await asyncio.sleep(0.01)
        assert "agents failed on STATUS: no agent" in network.ready().message


async def test_nothing_is_asked_again_of_a_network_before_1_1_that_is_ready(tmp_path: Path) -> None:
    async with running(tmp_path) as network:
        _, asked = write_agents_plugin(tmp_path)
        write(tmp_path / "net.d", "10-a.conflist", "a", "agents")
        await network.reload()
        before = asked.read_text()
        await network._ask_status()
        assert network.ready().ok
        assert asked.read_text() == before


async def test_a_plugin_in_a_directory_that_came_later_makes_it_ready(tmp_path: Path) -> None:
    async with running(tmp_path, recheck_s=0.01) as network:
        write(tmp_path / "net.d", "10-a.conflist", "a", "late")
        await network.reload()
        assert not network.ready().ok
        (tmp_path / "more").mkdir()
        (tmp_path / "more" / "late").write_text("#!/bin/sh\n")
        (tmp_path / "more" / "late").chmod(0o755)
        await network.wait_ready(60)


async def test_what_stays_as_it_was_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running(tmp_path) as network:
        for _ in range(3):
            await network.reload()
        write(tmp_path / "net.d", "10-a.conflist", "a", "missing")
        for _ in range(3):
            await network.reload()
    told = [record.getMessage() for record in caplog.records if record.name == "cni.network"]
    assert len(told) == 2
    assert told[0].startswith("pods run on the host's network alone: cni config uninitialized")
    assert "network=a" in told[1]
    assert "CNI plugin missing is in none of" in told[1]


async def test_a_pod_without_namespace_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as network:
        write(tmp_path / "net.d", "10-a.conflist", "a")
        await network.reload()
        with pytest.raises(PluginFailed, match="does not exist"):
            await network.attach(pod(tmp_path))


async def test_a_plugin_of_another_version_is_named(tmp_path: Path) -> None:
    async with running(tmp_path) as network:
        path = tmp_path / "bin" / "old"
        path.write_text('#!/bin/sh\ncat >/dev/null\necho \'{"supportedVersions": ["0.3.1", "0.4.0"]}\'\n')
        path.chmod(0o755)
        write(tmp_path / "net.d", "10-a.conflist", "a", "old")
        await network.reload()
        assert "does not speak cniVersion 1.0.0, only 0.3.1, 0.4.0" in network.ready().message


async def test_wishes_that_cannot_be_met_do_not_stop_a_detach(tmp_path: Path) -> None:
    wrong = replace(
        pod(tmp_path),
        port_mappings=(PortMapping(80, 80, "icmp"),),
        annotations={"kubernetes.io/ingress-bandwidth": "much"},
    )
    async with running(tmp_path) as network:
        await network.detach(wrong)
