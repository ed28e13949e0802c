"""storage/registry/helpers: credentials from programs, and what becomes of those that misbehave."""

import json
from pathlib import Path

import pytest

from storage.registry.auth import Credentials
from storage.registry.helpers import FILES, CredentialHelperFailed, search

SECRET = "hunter2"


def program(directory: Path, name: str, script: str) -> None:
    """A helper ``name`` in ``directory``."""
    file = directory / f"docker-credential-{name}"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def says(**answer: object) -> str:
    return f"cat >/dev/null; printf %s '{json.dumps(answer)}'"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of helpers, in PATH."""
    helpers = tmp_path / "helpers"
    helpers.mkdir()
    monkeypatch.setenv("PATH", f".:{helpers}:/usr/bin:/bin")
    return helpers


async def ask(*helpers: str, files: list[Path] | None = None, timeout_s: float = 60) -> Credentials | None:
    return await search(helpers, files or [], "quay.io", "team/app", timeout_s)


def auth_file(path: Path, **document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


async def test_a_helper_is_asked_for_the_registry_in_a_small_environment(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_KEY", "k")
    program(
        place,
        "h",
        'test "$*" = get || exit 3; printf \'{"Username": "%s%s", "Secret": "s"}\' "$(cat)" "$CLOUD_KEY"',
    )
    assert await ask("h") == Credentials("quay.io", "s")


async def test_a_secret_of_the_user_token_is_an_identity_token(place: Path) -> None:
    program(place, "h", says(ServerURL="https://quay.io", Username="<token>", Secret="it"))
    assert await ask("h") == Credentials(identity_token="it", server="https://quay.io")


async def test_files_and_helpers_are_asked_in_their_order(place: Path, tmp_path: Path) -> None:
    program(place, "none", "echo credentials not found in native keychain; exit 1")
    program(place, "h", says(Username="helper", Secret="s"))
    file = auth_file(tmp_path / "auth.json", auths={"quay.io": {"username": "file", "password": "p"}})
    assert await ask("none", FILES, "h", files=[tmp_path / "missing", file]) == Credentials("file", "p")
    assert await ask("none", "h", FILES, files=[file]) == Credentials("helper", "s")
    assert await ask("none") is None


async def test_a_file_hands_a_registry_to_a_helper(place: Path, tmp_path: Path) -> None:
    program(place, "h", says(Username="helper", Secret="s"))
    for document in ({"credHelpers": {"quay.io": "h"}}, {"auths": {"quay.io": {}}, "credsStore": "h"}):
        assert await ask(FILES, files=[auth_file(tmp_path / "f", **document)]) == Credentials("helper", "s")


FAILING = {
    "ends with an error": (f"echo {SECRET}; echo {SECRET} >&2; exit 1", "failed with status 1"),
    "is killed": ("kill -9 $$", "failed with status -9"),
    "says no JSON": (f"echo '{SECRET}'", "something else than credentials"),
    "says a list": (f"echo '[\"{SECRET}\"]'", "something else than credentials"),
    "says a number": (says(Username=5, Secret=SECRET), "something else than credentials"),
    "says what cannot be sent": (says(Username="<token>", Secret="\0" + SECRET), "something else"),
    "says too much": ("head -c 300000 /dev/zero", "something else than credentials"),
    "means another registry": (says(Username="u", Secret=SECRET, ServerURL="evil.test"), "another registry"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAILING)
async def test_a_failing_helper_is_named_with_a_way_out_and_no_secret(
    place: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    script, words = FAILING[kind]
    program(place, "h", script)
    with pytest.raises(CredentialHelperFailed, match=words) as failed:
        await ask("h")
    assert f"echo quay.io | {place}/docker-credential-h get" in str(failed.value)
    assert SECRET not in str(failed.value) + caplog.text


async def test_a_helper_that_does_not_end_is_ended(place: Path) -> None:
    program(place, "h", "exec sleep 1000")
    with pytest.raises(CredentialHelperFailed, match=r"did not end within 0\.2 s"):
        await ask("h", timeout_s=0.2)


@pytest.mark.parametrize("name", ["gone", "../h", "/bin/sh", "", "a b", "-h", "h\n"])
async def test_a_helper_that_is_not_there_is_named(place: Path, name: str) -> None:
    program(place, "h", says(Username="u", Secret="s"))
    with pytest.raises(CredentialHelperFailed, match=r"install it there|is no name"):
        await ask(name)


async def test_a_helper_is_not_taken_from_where_the_daemon_happens_to_be(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program(tmp_path, "h", says(Username="u", Secret="s"))
    with pytest.raises(CredentialHelperFailed, match="install it there"):
        await ask("h")


async def test_a_failure_counts_only_when_nobody_else_has_credentials(place: Path, tmp_path: Path) -> None:
    program(place, "h", says(Username="helper", Secret="s"))
    assert await ask("gone", "h") == Credentials("helper", "s")
    store = auth_file(tmp_path / "f", credsStore="gone")
    assert await ask(FILES, files=[store]) is None
