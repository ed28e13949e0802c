"""The network of the built-in plugins keeps the contract that its fake is held to."""

import pytest

from cni.network import Network
from tests.contract.network import Left, MakePod, NetworkContract
from tests.integration.cni.conftest import Host, Start

pytestmark = pytest.mark.root


class TestNetwork(NetworkContract):
    @pytest.fixture
    async def network(self, host: Host, start: Start) -> Network:
        host.conflist(host.bridge(), {"type": "portmap", "capabilities": {"portMappings": True}})
        return await start()

    @pytest.fixture
    def pod(self, host: Host) -> MakePod:
        return host.pod

    @pytest.fixture
    def left(self, host: Host) -> Left:
        return host.left_over
