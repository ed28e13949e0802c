"""The descriptors of the metrics of pods: the names of KEP-2371, group by group."""

import pytest

from conf.check import POD_METRIC_GROUPS
from cri.stats.families import ALWAYS, FAMILIES, GROUPS, LABELS, chosen, descriptors

# How many metrics CRI-O has in each group.
SIZES = {
    "": 1,
    "cpu": 6,
    "disk": 4,
    "diskIO": 5,
    "hugetlb": 2,
    "memory": 10,
    "network": 8,
    "oom": 1,
    "pressure": 6,
    "process": 6,
    "spec": 7,
}


def test_the_groups_are_those_of_the_configuration() -> None:
    assert {ALWAYS, *POD_METRIC_GROUPS} == GROUPS
    assert {group: sum(one.group == group for one in FAMILIES) for group in GROUPS} == SIZES


def test_all_56_have_a_name_help_and_label_keys() -> None:
    found = descriptors(chosen(["all"]))
    assert len({one.name for one in found}) == 56
    for one in found:
        assert one.name.startswith("container_")
        assert one.help
        assert tuple(one.label_keys[: len(LABELS)]) == LABELS


@pytest.mark.parametrize(
    ("included", "groups"),
    [([], {""}), (["cpu"], {"", "cpu"}), (["oom", "spec"], {"", "oom", "spec"}), (["all"], GROUPS)],
)
def test_what_is_included(included: list[str], groups: set[str]) -> None:
    assert chosen(included) == groups
    assert len(descriptors(chosen(included))) == sum(SIZES[group] for group in groups)
