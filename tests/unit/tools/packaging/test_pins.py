"""The hashes of what is installed: complete, of the versions that are tested, and no others are taken."""

import re
from pathlib import Path

import pytest

from tools.packaging.environment import InstallFailed, collect_wheels
from tools.packaging.layout import CHECKOUT
from tools.packaging.pins import FILE, PROCESSORS, PYTHONS, requirements, wanted


def pinned() -> dict[str, tuple[str, list[str]]]:
    """Version and hashes by name."""
    entries = re.findall(r"^(\S+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", FILE.read_text(), re.M)
    return {_plain(name): (version, re.findall(r"[0-9a-f]{64}", text)) for name, version, text in entries}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_there_is_nothing_but_hashed_requirements_in_it() -> None:
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == sum(1 + len(hashes) for _, hashes in pinned().values())


def test_every_dependency_is_there_in_the_version_that_is_tested() -> None:
    constraints = re.findall(r"^(\S+)==(\S+)$", (CHECKOUT / "constraints.txt").read_text(), re.M)
    tested = {_plain(name): version for name, version in constraints}
    assert {_plain(re.split(r"[>=;<~ ]", each)[0]) for each in wanted()} <= set(pinned())
    assert {name: version for name, (version, _) in pinned().items()} == {
        name: tested.get(name) for name in pinned()
    }


@pytest.mark.parametrize("name", ["grpcio", "aiohttp", "pyyaml", "zstandard", "isal"])
def test_compiled_ones_have_a_wheel_for_every_python_and_processor(name: str) -> None:
    assert len(pinned()[name][1]) == len(PYTHONS) * len(PROCESSORS)


def test_several_wheels_of_one_version_are_one_requirement() -> None:
    found = [("b", "1", "f" * 64), ("A", "2", "0" * 64), ("b", "1", "e" * 64), ("b", "1", "f" * 64)]
    assert requirements(found) == (
        f"A==2 \\\n    --hash=sha256:{'0' * 64}\n"
        f"b==1 \\\n    --hash=sha256:{'e' * 64} \\\n    --hash=sha256:{'f' * 64}\n"
    )


def test_a_wheel_with_other_bytes_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    for name, (version, _) in pinned().items():
        (source / f"{name.replace('-', '_')}-{version}-py3-none-any.whl").write_bytes(b"other bytes")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(source))
    with pytest.raises(InstallFailed, match="DO NOT MATCH THE HASHES"):
        collect_wheels(target)
    assert list(target.iterdir()) == []


# The version in which each one's last known vulnerability was mended.
MENDED = {
    "aiohttp": "3.13.3",  # CVE-2025-69223
    "grpcio": "1.55.3",  # CVE-2023-33953
    "h11": "0.16.0",  # CVE-2025-43859
    "idna": "3.7",  # CVE-2024-3651
    "protobuf": "6.33.5",  # CVE-2026-0994
    "pyyaml": "5.4",  # CVE-2020-14343
    "requests": "2.32.4",  # CVE-2024-47081
    "setuptools": "78.1.1",  # CVE-2025-47273
    "urllib3": "2.6.3",  # CVE-2026-21441
    "websockets": "9.1",  # CVE-2021-33880
}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


@pytest.mark.parametrize("name", MENDED)
def test_what_is_known_to_be_vulnerable_is_neither_tested_nor_allowed(name: str) -> None:
    tested = dict(re.findall(r"^(\S+)==(\S+)$", (CHECKOUT / "constraints.txt").read_text(), re.M))
    bounds = {_plain(re.split(r"[>=;<~ ]", each)[0]): each.partition(">=")[2] for each in wanted()}
    assert _numbers(tested[name]) >= _numbers(MENDED[name])
    if name in bounds:
        assert _numbers(bounds[name].partition(";")[0] + ".0.0") >= _numbers(MENDED[name])
