"""The real monitor, over crun and runc, keeps the contract that its fake is held to."""

import pytest

from api.ids import new_container_id
from oci.monitor.types import CreateContainer
from tests.contract.monitor import MonitorContract, Watched
from tests.integration.oci.conftest import Workshop, process

pytestmark = pytest.mark.root


class TestMonitor(MonitorContract):
    @pytest.fixture
    def watched(self, workshop: Workshop) -> Watched:
        def bundle() -> CreateContainer:
            identifier = new_container_id()
            directory = workshop.bundle(identifier, process("/bin/sleep", "600"))
            return CreateContainer(identifier, workshop.runtime, directory)

        return Watched(workshop.monitor, workshop.runtime, bundle)
