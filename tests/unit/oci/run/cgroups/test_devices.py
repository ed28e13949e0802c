from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci.run.cgroups.device_program import program
from oci.run.cgroups.devices import ALWAYS, DeviceList, Rule
from oci.run.cgroups.types import BadResources
from tests.harness import ebpf

NOTHING = {"allow": False, "access": "rwm"}
EVERYTHING = {"allow": True, "access": "rwm"}


def device_list(*entries: dict[str, Any]) -> DeviceList:
    return DeviceList.of(map(Rule.parse, entries))


def test_what_every_container_may_use() -> None:
    """Whatever the rules say, and without any."""
    for made in (
        device_list(),
        device_list(NOTHING),
        device_list({"allow": False, "type": "c", "access": "r"}),
    ):
        for kind, major, minor, access in [
            ("c", 1, 3, "rw"),
            ("c", 1, 5, "rw"),
            ("c", 1, 7, "rw"),
            ("c", 1, 8, "rw"),
            ("c", 1, 9, "rw"),
            ("c", 5, 0, "rw"),
            ("c", 5, 2, "rw"),
            ("c", 136, 7, "rw"),
            ("c", 10, 200, "rw"),
            ("c", 99, 99, "m"),
            ("b", 8, 0, "m"),
        ]:
            assert made.permits(kind, major, minor, access)
        assert not made.permits("b", 8, 0, "r")
        assert not made.permits("c", 1, 1, "r")
        assert not made.permits("c", 5, 1, "w")


def test_the_last_word_about_all_counts() -> None:
    made = device_list({"allow": True, "type": "b", "major": 8, "minor": 0, "access": "r"}, NOTHING)
    assert not made.permits("b", 8, 0, "r")
    assert device_list(NOTHING, EVERYTHING).permits("b", 8, 0, "rwm")


def test_access_adds_up_and_is_taken_by_letters() -> None:
    one = {"type": "c", "major": 10, "minor": 229}
    made = device_list(NOTHING, {"allow": True, "access": "r", **one}, {"allow": True, "access": "w", **one})
    assert made.permits("c", 10, 229, "rw")
    made.add(Rule.parse({"allow": False, "access": "w", **one}))
    assert made.permits("c", 10, 229, "r")
    assert not made.permits("c", 10, 229, "rw")


def test_all_but_one() -> None:
    made = device_list(EVERYTHING, {"allow": False, "type": "b", "major": 8, "minor": 1, "access": "w"})
    assert made.permits("b", 8, 1, "r")
    assert not made.permits("b", 8, 1, "rw")
    assert made.permits("b", 8, 2, "rwm")


@pytest.mark.parametrize("allow", [True, False])
def test_no_hole_can_be_made_into_a_rule_for_many(allow: bool) -> None:
    """The kernel would ignore it, and so leave open what is to be closed."""
    many = {"type": "b", "major": 8, "access": "rw"}
    with pytest.raises(BadResources, match=r"b 8:3 out of the rule for b 8:\*"):
        device_list(
            {"allow": not allow, "access": "rwm"},
            {"allow": allow, **many},
            {"allow": not allow, **many, "minor": 3},
        )


@pytest.mark.parametrize(
    "entry",
    [
        {"allow": "yes", "access": "r"},
        {"allow": True, "type": "x", "access": "r"},
        {"allow": True, "type": "c", "access": "rx"},
        {"allow": True, "type": "c", "access": 7},
        {"allow": True, "type": "c", "major": "1", "access": "r"},
        {"allow": True, "type": "c", "major": -2, "access": "r"},
        {"allow": True, "type": "c", "minor": 1 << 32, "access": "r"},
    ],
)
def test_what_is_no_rule(entry: dict[str, Any]) -> None:
    with pytest.raises(BadResources):
        Rule.parse(entry)


def test_the_writes_of_version_1() -> None:
    fresh = DeviceList.shown("a *:* rwm")
    made = device_list(NOTHING, {"allow": True, "type": "b", "major": 8, "minor": 0, "access": "r"})
    always = "\n".join(f"{rule.devices} {'rwm' if len(rule.access) == 3 else 'm'}" for rule in ALWAYS)
    assert made.changes(fresh) == [("devices.deny", "a"), ("devices.allow", f"b 8:0 r\n{always}")]
    assert device_list(EVERYTHING).changes(fresh) == []  # which one below another could not write
    assert device_list(EVERYTHING).changes(made) == [("devices.allow", "a")]


def test_an_update_takes_nothing_that_stays() -> None:
    shown = "c 1:3 rwm\nc 10:229 rw\nb *:* m\n"
    before = DeviceList.shown(shown)
    after = DeviceList.shown("c 1:3 rwm\nc 10:229 r\nb *:* m\nb 8:0 r\n")
    assert after.changes(before) == [("devices.deny", "c 10:229 w"), ("devices.allow", "b 8:0 r")]


NUMBERS = st.one_of(st.none(), st.integers(0, 3), st.just((1 << 32) - 1))
ENTRIES = st.fixed_dictionaries(
    {"allow": st.booleans(), "access": st.text("rwm", max_size=3)},
    optional={"type": st.sampled_from("abc"), "major": NUMBERS, "minor": NUMBERS},
)
OPENINGS = st.tuples(
    st.sampled_from("bc"),
    st.integers(0, 3) | st.just((1 << 32) - 1),
    st.integers(0, 3) | st.just((1 << 32) - 1),
    st.text("rwm", min_size=1, max_size=3),
)


@given(st.lists(ENTRIES, max_size=6), st.lists(OPENINGS, min_size=1, max_size=6))
def test_the_program_of_version_2_says_the_same(
    entries: list[dict[str, Any]], openings: list[tuple[str, int, int, str]]
) -> None:
    try:
        made = device_list(*entries)
    except BadResources:
        return
    code = program(made)
    for kind, major, minor, access in openings:
        letters = "".join(sorted(set(access)))
        assert ebpf.permits(code, kind, major, minor, letters) == made.permits(kind, major, minor, letters)


@given(st.lists(ENTRIES, max_size=6), st.lists(ENTRIES, max_size=6))
def test_changes_lead_from_one_list_to_another(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    """As version 1 applies them: a list in the kernel becomes the wanted one."""
    try:
        before, after = device_list(*first), device_list(*second)
    except BadResources:
        return
    for file, text in after.changes(before):
        for line in text.split("\n"):
            as_the_kernel(before, _rule(file, line))
    assert (before.allowed, before.exceptions) == (after.allowed, after.exceptions)


def as_the_kernel(devices: DeviceList, rule: Rule) -> None:
    """It takes an exception away that is the same, and leaves wider ones."""
    if rule.devices is None or rule.allow != devices.allowed:
        devices.add(rule)
        return
    left = devices.exceptions.pop(rule.devices, frozenset()) - rule.access
    if left:
        devices.exceptions[rule.devices] = left


def _rule(file: str, line: str) -> Rule:
    kind, *rest = line.split()
    allow = file == "devices.allow"
    if kind == "a":
        return Rule.parse({"allow": allow})
    major, minor = (None if one == "*" else int(one) for one in rest[0].split(":"))
    return Rule.parse({"allow": allow, "type": kind, "major": major, "minor": minor, "access": rest[1]})
