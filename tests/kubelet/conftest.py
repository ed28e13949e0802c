"""One node for all tests; each test ends with the node idle again, all of them with the machine as it was."""

import os
import re
from collections.abc import Iterator

import pytest

from tests.harness.counts import Counts
from tests.kubelet.interruptions import INTERRUPTIONS, Interruption, bearing, named
from tests.kubelet.node import Node, running_node


@pytest.fixture(scope="session")
def whole_node() -> Iterator[Node]:
    before = Counts.take(cgroups=re.compile("podwright-kubelet-none"))
    with running_node(os.environ.get("HANDLER") or "crun") as node:
        pattern = re.compile(re.escape(node.cgroups.name))
        yield node
    assert before.left_over(Counts.take(cgroups=pattern)) == []


@pytest.fixture
def node(whole_node: Node) -> Iterator[Node]:
    """The node, up and without pods before and after."""
    yield whole_node
    whole_node.recover()
    whole_node.idle()


@pytest.fixture(params=INTERRUPTIONS, ids=named)
def interrupt(node: Node, request: pytest.FixtureRequest) -> Interruption:
    """Each way of going away and coming back."""
    return bearing(request.param, node)
