"""The service that the package installed, and pods on it that are gone after each test."""

import os
from collections.abc import Iterator

import pytest

from tests.harness.client import Client
from tests.node.inside.pods import Pods
from tests.node.inside.service import ENDPOINT, Unit

if not os.environ.get("PODWRIGHT_PREFETCHED"):
    collect_ignore_glob = ["*.py"]  # they act on the machine's own services


@pytest.fixture(scope="session")
def service() -> Unit:
    return Unit("podwright.service")


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    with Client(ENDPOINT) as connected:
        yield connected


@pytest.fixture
def pods(client: Client) -> Iterator[Pods]:
    made = Pods(client)
    yield made
    made.remove()
