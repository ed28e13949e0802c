import pytest

from host.slices import BadSlice, levels, path_of, unit_of


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("test.slice", "/test.slice"),
        ("a-b.slice", "/a.slice/a-b.slice"),
        (
            "kubepods-burstable-pod1_2.slice",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice",
        ),
        (r"a\x2db.slice", r"/a\x2db.slice"),
    ],
)
def test_the_name_of_a_slice_is_its_path(name: str, path: str) -> None:
    assert path_of(name) == path


def test_levels_begin_at_the_top() -> None:
    assert levels("a-b-c.slice") == ["a.slice", "a-b.slice", "a-b-c.slice"]


@pytest.mark.parametrize(
    "name",
    [
        *("", ".slice", "-.slice", "-a.slice", "a-.slice", "a--b.slice", "a.scope", "a/b.slice"),
        *("ä.slice", "a b.slice", "a.slice\n", "a" * 250 + ".slice"),
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(BadSlice, match="is not the name of a slice"):
        path_of(name)


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/a.slice/a-b.slice/podwright-1.scope", "podwright-1.scope"),
        ("/a.slice/", "a.slice"),
        ("/kubepods/pod1/podwright-1", None),
        ("/system.slice/podwright.service", None),
        ("/", None),
    ],
)
def test_the_unit_of_a_path(path: str, unit: str | None) -> None:
    assert unit_of(path) == unit
