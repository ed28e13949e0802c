import pytest

from oci.generate.inputs import BadContainer, SecurityContext
from oci.generate.paths import DEFAULT_MASKED_PATHS, masked_paths, readonly_paths


def test_as_requested() -> None:
    security = SecurityContext(masked_paths=("/proc/acpi", "/missing"), readonly_paths=("/tmp",))
    others = [path for path in DEFAULT_MASKED_PATHS if path != "/proc/acpi"]
    assert masked_paths(security) == ["/proc/acpi", "/missing", *others]
    assert masked_paths(SecurityContext(readonly_paths=("/tmp",))) == []  # unmasked, by the pod's wish
    assert readonly_paths(security) == ["/tmp"]


def test_none_when_privileged_though_the_kubelet_sends_them() -> None:
    security = SecurityContext(masked_paths=("/proc/acpi",), readonly_paths=("/tmp",), privileged=True)
    assert masked_paths(security) == readonly_paths(security) == []


@pytest.mark.parametrize("path", ["", "proc", "/a\0"])
def test_relative_ones_are_refused(path: str) -> None:
    with pytest.raises(BadContainer, match="masked_paths"):
        masked_paths(SecurityContext(masked_paths=(path,)))
    with pytest.raises(BadContainer, match="readonly_paths"):
        readonly_paths(SecurityContext(readonly_paths=(path,)))
