from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from conf.values import (
    Assignment,
    DeviceRule,
    Port,
    Seconds,
    Ulimit,
    WrongValue,
    convert,
    nearest,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("250us", 0.00025),
        ("0", 0),
        ("12.5", 12.5),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["5 minutes", "1d", "s", "-3s", "10s later", "1,5s"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(WrongValue, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("nofile=1024:2048", Ulimit("nofile", 1024, 2048)),
        ("RLIMIT_NPROC=-1:-1", Ulimit("nproc", -1, -1)),
        ("core=0", Ulimit("core", 0, 0)),
        ("memlock=65536:-1", Ulimit("memlock", 65536, -1)),
    ],
)
def test_ulimits_are_read(text: str, limit: Ulimit) -> None:
    assert Ulimit.parse(text) == limit
    assert Ulimit.parse(str(limit)) == limit


@pytest.mark.parametrize(
    "text", ["nofile", "nofile=", "nofile=a:b", "nofile=2:1", "nofile=-1:5", "=1:1", "no file=1", "core=-2:5"]
)
def test_other_ulimits_are_refused(text: str) -> None:
    with pytest.raises(WrongValue):
        Ulimit.parse(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("/dev/fuse", DeviceRule(Path("/dev/fuse"), Path("/dev/fuse"), "rwm")),
        ("/dev/sda:/dev/disk", DeviceRule(Path("/dev/sda"), Path("/dev/disk"), "rwm")),
        ("/dev/sda:/dev/disk:r", DeviceRule(Path("/dev/sda"), Path("/dev/disk"), "r")),
        ("/dev/sda:rw", DeviceRule(Path("/dev/sda"), Path("/dev/sda"), "rw")),
    ],
)
def test_devices_are_read(text: str, rule: DeviceRule) -> None:
    assert DeviceRule.parse(text) == rule
    assert DeviceRule.parse(str(rule)) == rule


@pytest.mark.parametrize("text", ["dev/fuse", "/dev/a:/dev/b:x", "/dev/a:/dev/b:rr", "/dev/a:/dev/b:r:w", ""])
def test_other_devices_are_refused(text: str) -> None:
    with pytest.raises(WrongValue):
        DeviceRule.parse(text)


def test_an_assignment_keeps_further_equals_signs() -> None:
    assert Assignment.parse("A=b=c") == Assignment("A", "b=c")
    assert str(Assignment.parse("A=")) == "A="


@pytest.mark.parametrize("text", ["A", "=b", "A=\0"])
def test_other_assignments_are_refused(text: str) -> None:
    with pytest.raises(WrongValue, match="name=value"):
        Assignment.parse(text)


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (bool, True, True),
        (int, -1, -1),
        (str, "", ""),
        (Path, "/a/", Path("/a")),
        (Path | None, "", None),
        (Path | None, "/a", Path("/a")),
        (Seconds, 5, 5.0),
        (Seconds, "5m", 300.0),
        (Port, "0", 0),
        (Port, 65535, 65535),
        (Literal["a", "b"], "b", "b"),
        (tuple[str, ...], ["x"], ("x",)),
        (tuple[Path, ...], [], ()),
        (tuple[Ulimit, ...], ["core=0"], (Ulimit("core", 0, 0),)),
        (Mapping[str, str], {"k": "v"}, {"k": "v"}),
    ],
)
def test_values_are_converted_by_the_type_of_their_key(kind: Any, raw: object, value: object) -> None:
    assert convert(kind, raw) == value


@pytest.mark.parametrize(
    ("kind", "raw", "message"),
    [
        (bool, "true", 'expected true or false, got a text, "true"'),
        (int, True, "expected a whole number, got a boolean, true"),
        (int, 1.5, "expected a whole number, got a number, 1.5"),
        (str, 5, "expected a text, got a number, 5"),
        (Path, "", "expected a path, got an empty text"),
        (Seconds, True, "expected seconds or a duration"),
        (Port, 65536, "expected a port from 0 to 65535"),
        (Port, "http", "expected a port from 0 to 65535"),
        (Literal["info", "debug"], "debgu", 'did you mean "debug"'),
        (tuple[str, ...], "x", "expected a list, got a text"),
        (tuple[str, ...], ["x", 1], "expected a text, got a number, 1"),
        (Mapping[str, str], [], "expected a table, got a list"),
    ],
)
def test_wrong_values_are_told_with_what_was_expected_and_found(kind: Any, raw: object, message: str) -> None:
    with pytest.raises(WrongValue, match=message):
        convert(kind, raw)


def test_a_converted_table_cannot_be_changed() -> None:
    table = convert(Mapping[str, str], {"k": "v"})
    with pytest.raises(TypeError):
        table["k"] = "w"


def test_only_a_similar_word_is_suggested() -> None:
    assert nearest("log_levle", ["log_level", "log_dir"]) == '; did you mean "log_level"?'
    assert nearest("zzz", ["log_level"]) == ""
