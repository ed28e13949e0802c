from pathlib import Path

import pytest

from host.features import hugepage_name, hugepage_sizes


@pytest.mark.parametrize(
    ("kibibytes", "name"), [(64, "64KB"), (2048, "2MB"), (1048576, "1GB"), (16777216, "16GB")]
)
def test_page_sizes_are_spelled_as_cgroup_files_spell_them(kibibytes: int, name: str) -> None:
    assert hugepage_name(kibibytes) == name


def test_sizes_the_kernel_offers(tmp_path: Path) -> None:
    assert hugepage_sizes(tmp_path) == frozenset()
    for name in ("hugepages-2048kB", "hugepages-1048576kB", "other"):
        (tmp_path / "kernel/mm/hugepages" / name).mkdir(parents=True)
    assert hugepage_sizes(tmp_path) == {"2MB", "1GB"}
