import pytest

from cri.cgroups.driver import BadCgroupParent
from cri.cgroups.files import FilesDriver
from host.cgroups import Hierarchy

DRIVER = FilesDriver(Hierarchy(()))


@pytest.mark.parametrize(
    ("asked", "path"), [("", "/podwright"), ("/", "/"), ("/kubepods/pod1/", "/kubepods/pod1"), ("a", "/a")]
)
def test_the_parent_is_a_path(asked: str, path: str) -> None:
    assert DRIVER.parent(asked) == path


@pytest.mark.parametrize("asked", ["test.slice", "/kubepods.slice/kubepods-pod1.slice", "/test.slice/"])
def test_a_slice_is_refused(asked: str) -> None:
    with pytest.raises(BadCgroupParent, match=r"linux\.cgroup_parent .* cgroup driver is cgroupfs"):
        DRIVER.parent(asked)
