"""One cluster for all tests; each test ends with no pod left, all of them with the machine as it was."""

import os
import re
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster, running_cluster
from tests.harness.counts import Counts


@pytest.fixture(scope="session")
def whole_cluster() -> Iterator[Cluster]:
    before = Counts.take(cgroups=re.compile("podwright-kubelet-none"))
    with running_cluster(os.environ.get("HANDLER") or "crun") as cluster:
        pattern = re.compile(re.escape(cluster.node.cgroups.name))
        yield cluster
    assert before.left_over(Counts.take(cgroups=pattern)) == []


@pytest.fixture
def cluster(whole_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, without pods before and after."""
    yield whole_cluster
    whole_cluster.clear()
