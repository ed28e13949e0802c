"""storage/registry/auth: auth.json files."""

import base64
import json
from pathlib import Path

import pytest

from storage.registry.auth import (
    BadAuthFile,
    BadCredentials,
    Credentials,
    HelperEntry,
    decode_auth,
    default_paths,
    find,
)


def entry(user: str, password: str = "p") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


AUTHS = json.dumps(
    {
        "auths": {
            "quay.io": entry("registry"),
            "quay.io/team": entry("team"),
            "quay.io/team/app": entry("app", "with:colon"),
            "https://index.docker.io/v1/": entry("hub"),
            "token.test": {"identitytoken": "it"},
            "plain.test": {"username": "u", "password": "p"},
            "empty.test": {},
        },
        "credHelpers": {"helped.test": "ecr-login"},
    }
).encode()


@pytest.mark.parametrize(
    ("registry", "repository", "expected"),
    [
        ("quay.io", "other/x", Credentials("registry", "p")),
        ("quay.io", "team/x", Credentials("team", "p")),
        ("quay.io", "team/app", Credentials("app", "with:colon")),
        ("quay.io", "teamster/app", Credentials("registry", "p")),
        ("docker.io", "library/busybox", Credentials("hub", "p")),
        ("token.test", "a", Credentials(identity_token="it")),
        ("plain.test", "a", Credentials("u", "p")),
        ("empty.test", "a", None),
        ("unknown.test", "a", None),
    ],
)
def test_the_longest_key_wins(registry: str, repository: str, expected: Credentials | None) -> None:
    assert find(AUTHS, registry, repository, "auth.json") == expected


def test_a_helper_is_named_for_whoever_asks_it() -> None:
    assert find(AUTHS, "helped.test", "a", "auth.json") == HelperEntry(
        "ecr-login", "helped.test", "auth.json"
    )


def test_a_store_for_all_is_asked_last() -> None:
    data = json.dumps({"auths": {"quay.io": entry("u"), "logged.test": {}}, "credsStore": "pass"}).encode()
    assert find(data, "quay.io", "a", "f") == Credentials("u", "p")
    assert find(data, "logged.test", "a", "f") == HelperEntry("pass", "logged.test", "f", needed=False)
    hub = find(data, "docker.io", "library/a", "f")
    assert hub == HelperEntry("pass", "https://index.docker.io/v1/", "f", needed=False)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'{"auths": []}',
        b'{"auths": {"q.io": 5}}',
        b"[" * 100_000,
        b"[" + b"0," * 100_000 + b"0]",
    ],
)
def test_malformed_files_are_named(data: bytes) -> None:
    with pytest.raises(BadAuthFile, match="here"):
        find(data, "q.io", "a", "here")


def test_default_places() -> None:
    assert default_paths({"REGISTRY_AUTH_FILE": "/x"}) == [Path("/x")]
    found = default_paths({"XDG_RUNTIME_DIR": "/run/u", "HOME": "/h", "DOCKER_CONFIG": "/d"})
    assert found == [
        Path("/run/u/containers/auth.json"),
        Path("/h/.config/containers/auth.json"),
        Path("/d/config.json"),
    ]


def test_secrets_stay_out_of_logs() -> None:
    assert "hunter2" not in repr(Credentials("u", "hunter2", "hunter2", "hunter2"))


def test_an_entry_that_says_nothing_is_none_so_that_public_images_can_be_had(
    caplog: pytest.LogCaptureFixture,
) -> None:
    no_colon = base64.b64encode(b"useronly").decode()
    for entry in (None, {}, {"auth": "!"}, {"auth": no_colon}, {"auth": "\u00e4"}):
        assert find(json.dumps({"auths": {"q.io": entry}}).encode(), "q.io", "a", "here") is None
    assert "here: q.io" in caplog.text
    assert no_colon not in caplog.text


def test_base64_may_come_in_lines() -> None:
    text = base64.encodebytes(b"user:" + b"p" * 80).decode()
    assert "\n" in text
    assert decode_auth(text, "x") == ("user", "p" * 80)


@pytest.mark.parametrize(
    "entry", [{"registrytoken": "a\r\nb"}, {"username": "\ud800", "password": "x"}, {"identitytoken": "a\0"}]
)
def test_what_cannot_be_sent_is_refused_without_being_shown(entry: dict[str, str]) -> None:
    with pytest.raises(BadCredentials, match=r"here: q\.io"):
        find(json.dumps({"auths": {"q.io": entry}}).encode(), "q.io", "a", "here")


def test_auth_needs_a_colon() -> None:
    with pytest.raises(BadAuthFile):
        decode_auth(base64.b64encode(b"nocolon").decode(), "x")
