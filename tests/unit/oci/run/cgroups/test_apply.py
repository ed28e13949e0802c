import errno
from pathlib import Path

import pytest

from host.cgroup_limits import LimitRefused, MissingController
from host.cgroups import Tree
from oci.run.cgroups import apply as module
from oci.run.cgroups.apply import apply
from oci.run.cgroups.place import Place
from oci.run.cgroups.plan import Write


class Kernel(Place):
    """A cgroup whose files take what they are given as a whole, as cgroups' do, but for REFUSED."""

    REFUSED = "refused"

    def write(self, name: str, text: str) -> None:
        file = self.directory / name
        if not file.exists():
            raise FileNotFoundError(errno.ENOENT, "none", name)
        if text == self.REFUSED:
            raise OSError(errno.EINVAL, "Invalid argument", name)
        if text == "busy":
            raise OSError(errno.EBUSY, "Device or resource busy", name)
        if name == "io.max":  # a line for each device
            key = text.split(" ", 1)[0]
            lines = [line for line in file.read_text().splitlines() if not line.startswith(f"{key} ")]
            file.write_text("\n".join(lines + ([] if text == f"{key} {NOTHING}" else [text])))
            return
        file.write_text("512" if (name, text) == ("cpu.shares", "9999999") else text)


@pytest.fixture
def place(tmp_path: Path) -> Kernel:
    (tmp_path / "a").mkdir()
    for name, text in [
        ("pids.max", "max\n"),
        ("cpu.shares", "1024\n"),
        ("memory.max", "4096\n"),
        ("memory.limit_in_bytes", "4096\n"),
        ("memory.usage_in_bytes", "3000\n"),
        ("memory.max_usage_in_bytes", "3500\n"),
        ("io.max", "8:0 rbps=5 wbps=max riops=max wiops=max\n"),
    ]:
        (tmp_path / "a" / name).write_text(text)
    return Kernel(Tree(tmp_path, frozenset()), "a")


def files(place: Place) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in place.directory.iterdir()}


NOTHING = "rbps=max wbps=max riops=max wiops=max"
WRITES = [
    Write("pids", "pids.max", "5"),
    Write("memory", "memory.max", "8192"),
    Write("memory", "memory.peak", "1", missing_ok=True),
    Write("io", "io.max", "8:16 wbps=7", key="8:16", absent=NOTHING),
    Write("io", "io.max", "8:0 rbps=6", key="8:0", absent=NOTHING),
]


@pytest.mark.parametrize("count", range(len(WRITES) + 1))
def test_a_refused_write_leaves_nothing_changed(place: Kernel, count: int) -> None:
    """At whichever place among the others it comes."""
    before = files(place)
    writes = [*WRITES[:count], Write("cpu", "cpu.shares", Kernel.REFUSED), *WRITES[count:]]
    with pytest.raises(
        LimitRefused, match=r"the kernel refuses cpu\.shares = refused in .*: Invalid argument"
    ):
        apply(writes, lambda _: place, undo=True)
    assert files(place) == before


def test_all_are_written_and_can_be_put_back(place: Kernel) -> None:
    before = files(place)
    done = apply(WRITES, lambda _: place, undo=True)
    assert files(place)["io.max"] == "8:16 wbps=7\n8:0 rbps=6"
    assert (files(place)["pids.max"], files(place)["memory.max"]) == ("5", "8192")
    module.put_back(done, lambda _: place)
    assert files(place) == before


def test_a_file_that_is_not_there_is_a_controller_that_is_not(place: Kernel) -> None:
    with pytest.raises(MissingController, match=r"hugetlb\.2MB\.max = 1: .* does not exist"):
        apply([Write("hugetlb", "hugetlb.2MB.max", "1")], lambda _: place, undo=False)
    with pytest.raises(MissingController, match="needs the cgroup controller 'rdma'"):
        apply([Write("rdma", "rdma.max", "1")], lambda _: None, undo=False)
    apply([Write("rdma", "rdma.max", "1", missing_ok=True)], lambda _: None, undo=False)


def test_what_is_used_is_told_with_a_limit_below_it(place: Kernel) -> None:
    with pytest.raises(LimitRefused, match=r"\(current usage: 3000, peak usage: 3500\)"):
        apply([Write("memory", "memory.limit_in_bytes", "busy")], lambda _: place, undo=False)


def test_shares_that_the_kernel_bounds_are_refused(place: Kernel) -> None:
    with pytest.raises(LimitRefused, match="the maximum allowed cpu-shares is 512, not 9999999"):
        apply([Write("cpu", "cpu.shares", "9999999")], lambda _: place, undo=False)
