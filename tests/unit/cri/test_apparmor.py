"""With an apparmorfs of the test's own, and a parser that notes what it is told."""

import logging
from pathlib import Path

import pytest

from cri.apparmor import DefaultProfileNotLoaded, ProfileNotLoaded, load_default, require_loaded

DEFAULT = "podwright-default"


def _securityfs(directory: Path, *profiles: str) -> Path:
    (directory / "apparmor").mkdir()
    (directory / "apparmor/profiles").write_text("".join(f"{name} (enforce)\n" for name in profiles))
    return directory


def _parser(directory: Path, script: str) -> Path:
    program = directory / "parser"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("name", [DEFAULT, "crio-default"])
async def test_the_built_in_profile_is_loaded_under_the_configured_name(tmp_path: Path, name: str) -> None:
    parser = _parser(tmp_path, f'echo "$@" > {tmp_path}/options; cat > {tmp_path}/profile')
    await load_default(name, securityfs=_securityfs(tmp_path), parser=str(parser))
    assert f"profile {name} " in (tmp_path / "profile").read_text()
    assert "--replace" in (tmp_path / "options").read_text()


@pytest.mark.parametrize("name", [DEFAULT, "the-administrators", "unconfined", ""])
async def test_what_is_loaded_or_not_ours_is_left_alone(tmp_path: Path, name: str) -> None:
    parser = _parser(tmp_path, f"touch {tmp_path}/ran")
    await load_default(name, securityfs=_securityfs(tmp_path, DEFAULT), parser=str(parser))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("script", "words"), [("echo no such rule >&2; exit 1", "no such rule"), (None, "parser")]
)
async def test_a_failure_is_said_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, script: str | None, words: str
) -> None:
    parser = tmp_path / "parser" if script is None else _parser(tmp_path, script)
    with caplog.at_level(logging.ERROR):
        await load_default(DEFAULT, securityfs=_securityfs(tmp_path), parser=str(parser))
    [record] = caplog.records
    assert DEFAULT in record.getMessage()
    assert words in record.getMessage()


def _document(profile: str | None) -> dict[str, object]:
    return {"process": {} if profile is None else {"apparmorProfile": profile}}


@pytest.mark.parametrize("profile", [None, "", DEFAULT, "other"])
def test_loaded_profiles_and_none_at_all_pass(tmp_path: Path, profile: str | None) -> None:
    require_loaded(_document(profile), DEFAULT, securityfs=_securityfs(tmp_path, DEFAULT, "other"))


def test_a_missing_profile_of_the_request_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileNotLoaded, match=r"localhost_ref 'mine' .*apparmor_parser"):
        require_loaded(_document("mine"), DEFAULT, securityfs=_securityfs(tmp_path, DEFAULT))


def test_a_missing_default_is_the_configurations_fault(tmp_path: Path) -> None:
    with pytest.raises(DefaultProfileNotLoaded, match="apparmor_profile 'podwright-default'"):
        require_loaded(_document(DEFAULT), DEFAULT, securityfs=_securityfs(tmp_path))


def test_profiles_that_cannot_be_read_are_the_runtimes_to_judge(tmp_path: Path) -> None:
    require_loaded(_document("mine"), DEFAULT, securityfs=tmp_path)
