"""Images as CRI messages: users, credentials."""

import base64
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from api.ids import ImageId
from api.runtime.v1 import api_pb2 as pb
from cri.images.verbs import BadAuthConfig, ImageDamaged, credentials, get, matching, user_fields
from cri.node import Node
from storage.catalogue import Image
from storage.manifest import ImageConfig
from storage.registry.auth import BadCredentials, Credentials


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


@pytest.mark.parametrize(
    "auth",
    [
        pb.AuthConfig(registry_token="a\r\nX-Evil: 1"),
        pb.AuthConfig(registry_token="\u20ac"),
        pb.AuthConfig(username="a\0", password="b"),
        pb.AuthConfig(identity_token="a\0"),
    ],
)
def test_credentials_that_cannot_be_sent_are_refused_without_showing_them(auth: pb.AuthConfig) -> None:
    with pytest.raises(BadCredentials, match="cannot be sent") as caught:
        credentials(auth)
    assert "Evil" not in str(caught.value)


@pytest.mark.parametrize(
    ("server", "registry", "used"),
    [
        ("", "quay.io", True),
        ("quay.io", "quay.io", True),
        ("https://quay.io/v2/", "quay.io", True),
        ("https://index.docker.io/v1/", "docker.io", True),
        ("quay.io", "evil.test", False),
        ("quay.io", "quay.io:8443", False),
        ("https://index.docker.io/v1/", "evil.test", False),
    ],
)
def test_credentials_go_to_the_registry_that_they_are_said_to_be_for(
    server: str, registry: str, used: bool
) -> None:
    found = credentials(pb.AuthConfig(username="u", password="p", server_address=server))
    assert found is not None
    assert found.are_for(registry) is used


def image(**changes: object) -> Image:
    whole = Image(ImageId("sha256:" + "0" * 64), (), (), 1, "", ImageConfig(), (), None, pinned=False)
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_an_image_that_cannot_be_read_is_listed_as_nobodys_and_not_run() -> None:
    damaged = image(fault="its config is gone")
    node = cast(Node, SimpleNamespace(images=SimpleNamespace(list=lambda: [damaged], find=lambda _: damaged)))
    [listed] = matching(node, pb.ImageFilter())
    assert (listed.id, listed.HasField("uid"), listed.username) == (damaged.id, False, "")
    with pytest.raises(ImageDamaged, match="its config is gone; remove it and pull it again"):
        get(node, "x")
