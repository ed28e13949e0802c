"""Images as CRI messages: users, credentials."""

import base64

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.images.verbs import BadAuthConfig, credentials, user_fields
from storage.registry.auth import Credentials


@pytest.mark.parametrize(
    ("user", "uid", "name"),
    [
        ("", 0, ""),
        ("1002", 1002, ""),
        ("1003:1004", 1003, ""),
        ("www-data", None, "www-data"),
        ("www-data:1004", None, "www-data"),
    ],
)
def test_a_user_is_a_number_or_a_name_never_both(user: str, uid: int | None, name: str) -> None:
    number, text = user_fields(user)
    assert (None if number is None else number.value) == uid
    assert text == name


def test_no_credentials_are_none() -> None:
    assert credentials(pb.AuthConfig(server_address="registry.example")) is None


def test_credentials_by_fields_and_by_the_encoded_pair() -> None:
    expected = Credentials("user", "pass:word")
    assert credentials(pb.AuthConfig(username="user", password="pass:word")) == expected
    encoded = base64.b64encode(b"user:pass:word").decode()
    assert credentials(pb.AuthConfig(auth=encoded)) == expected


def test_tokens_are_carried_over() -> None:
    assert credentials(pb.AuthConfig(identity_token="t")) == Credentials("", "", "t", "")
    assert credentials(pb.AuthConfig(registry_token="t")) == Credentials("", "", "", "t")


@pytest.mark.parametrize(
    "text", ["%%%", base64.b64encode(b"no colon").decode(), base64.b64encode(b"\xff:").decode()]
)
def test_a_malformed_pair_is_refused(text: str) -> None:
    with pytest.raises(BadAuthConfig, match=r"auth\.auth"):
        credentials(pb.AuthConfig(auth=text))
