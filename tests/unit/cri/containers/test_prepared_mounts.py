import os
from dataclasses import replace

import pytest

from cri.containers.prepared_mounts import needs_freeze, needs_map, restrictions, with_locked_options
from oci.generate.inputs import HostView, IdMapping, Mount, RuntimeView

MAP = (IdMapping(0, 1000, 10),)
MAPPED = Mount("/m", "/h", uid_mappings=MAP, gid_mappings=MAP)
FROZEN = Mount("/m", "/h", readonly=True, recursive_read_only=True)
ABLE, UNABLE = RuntimeView(), RuntimeView(recursive_readonly=False, idmapped_mounts=False)
VM = RuntimeView(recursive_readonly=False, idmapped_mounts=False, is_vm=True)
OLD_KERNEL = HostView(kernel_recursive_readonly=False, kernel_idmapped_mounts=False)


@pytest.mark.parametrize(
    ("mount", "host", "runtime", "mapped", "frozen"),
    [
        (MAPPED, HostView(), UNABLE, True, False),
        (MAPPED, HostView(), ABLE, False, False),
        (MAPPED, OLD_KERNEL, UNABLE, False, False),
        (MAPPED, HostView(), VM, False, False),
        (Mount("/m", "/h", uid_mappings=MAP), HostView(), UNABLE, False, False),
        (replace(MAPPED, source_is_image=True), HostView(), UNABLE, False, False),
        (FROZEN, HostView(), UNABLE, False, True),
        (FROZEN, HostView(), ABLE, False, False),
        (FROZEN, OLD_KERNEL, UNABLE, False, False),
        (FROZEN, HostView(), VM, False, False),
        (Mount("/m", "/h"), HostView(), UNABLE, False, False),
    ],
)
def test_ours_is_what_the_runtime_lacks_and_the_kernel_has(
    mount: Mount, host: HostView, runtime: RuntimeView, mapped: bool, frozen: bool
) -> None:
    assert needs_map(mount, host, runtime) == mapped
    assert needs_freeze(mount, host, runtime) == frozen


def test_restrictions_of_a_source() -> None:
    assert restrictions(os.ST_NOSUID | os.ST_NOEXEC | os.ST_RDONLY | os.ST_RELATIME) == ["nosuid", "noexec"]
    assert restrictions(os.ST_RDONLY) == []


def test_options_asked_for_stay_and_stand_once() -> None:
    mount = Mount("/m", "/", mount_options=("noexec", "noatime"))
    assert with_locked_options(mount).mount_options[:2] == ("noexec", "noatime")
    assert len(set(with_locked_options(mount).mount_options)) == len(with_locked_options(mount).mount_options)
