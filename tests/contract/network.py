"""What every Network does (cri/parts.py): the fake of the crash matrix, and built-in plugins on real links.

A subclass has fixtures ``network``, ``pod`` (makes one by name) and ``left`` (what attachments have left).
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from cni.errors import PluginFailed
from cni.pod import PodNetwork
from cri.parts import Network


class Collecting(Network, Protocol):
    """What a daemon calls at its start, too."""

    async def collect(self, sandbox_ids: Collection[str]) -> None: ...


MakePod = Callable[[str], PodNetwork]
Left = Callable[[], list[str]]


class NetworkContract:
    """Every test ends without attachments."""

    async def test_no_two_pods_have_an_address(self, network: Collecting, pod: MakePod, left: Left) -> None:
        one, two, three = map(pod, ("one", "two", "three"))
        first, second = (await network.attach(one)).ips, (await network.attach(two)).ips
        await network.detach(one)
        third = (await network.attach(three)).ips
        assert first
        assert not set(second) & {*first, *third}
        await network.detach(two)
        await network.detach(three)
        assert left() == []

    async def test_a_detachment_may_be_repeated_and_come_first(
        self, network: Collecting, pod: MakePod, left: Left
    ) -> None:
        one = pod("one")
        await network.detach(one)
        await network.attach(one)
        await network.detach(one)
        await network.detach(one)
        assert left() == []

    async def test_a_pod_without_a_namespace_is_not_attached(
        self, network: Collecting, pod: MakePod, left: Left
    ) -> None:
        with pytest.raises(PluginFailed):
            await network.attach(replace(pod("one"), netns=Path("/nowhere")))
        assert left() == []

    async def test_whom_nobody_knows_is_detached(self, network: Collecting, pod: MakePod, left: Left) -> None:
        one, two = pod("one"), pod("two")
        await network.attach(one)
        await network.attach(two)
        await network.collect([two.sandbox_id])
        assert left() != []
        await network.detach(two)
        assert left() == []

    async def test_one_that_can_attach_says_so(self, network: Collecting) -> None:
        assert network.ready().ok

    async def test_what_the_plugins_said_is_known_while_a_pod_is_attached(
        self, network: Collecting, pod: MakePod
    ) -> None:
        one = pod("one")
        assert await network.result(one.sandbox_id) is None
        attachment = await network.attach(one)
        assert await network.result(one.sandbox_id) == attachment.result
        await network.detach(one)
        assert await network.result(one.sandbox_id) is None
