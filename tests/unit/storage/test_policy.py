"""storage/policy: what policy.json lets in."""

import json
from pathlib import Path

import pytest

from storage.policy import BadPolicy, Policy, RejectedByPolicy, SignaturesUnsupported
from storage.reference import Reference

ACCEPT, REJECT, SIGNED = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}], [{"type": "signedBy"}]
POLICY = Policy.parse(
    json.dumps(
        {
            "default": REJECT,
            "transports": {
                "docker": {
                    "quay.io": ACCEPT,
                    "quay.io/bad": REJECT,
                    "quay.io/bad/good:v1": ACCEPT,
                    "quay.io/signed": SIGNED,
                    "*.example.com": ACCEPT,
                }
            },
        }
    ).encode(),
    "policy.json",
)


@pytest.mark.parametrize(
    "text", ["quay.io/a/b:v1", "quay.io/bad/good:v1", "r.example.com/x:1", "a.b.example.com/x:1"]
)
def test_accepted(text: str) -> None:
    POLICY.check(Reference.parse(text))


@pytest.mark.parametrize(
    "text", ["quay.io/bad/x:1", "quay.io/bad/good:v2", "example.com/x:1", "docker.io/x:1"]
)
def test_rejected_in_the_words_that_the_kubelet_knows(text: str) -> None:
    with pytest.raises(RejectedByPolicy, match=r"^SignatureValidationFailed: .*policy\.json"):
        POLICY.check(Reference.parse(text))


def test_a_wanted_signature_is_an_error_not_a_pass() -> None:
    with pytest.raises(SignaturesUnsupported, match="signedBy"):
        POLICY.check(Reference.parse("quay.io/signed/x:1"))


def test_without_a_file_everything_is_accepted(tmp_path: Path) -> None:
    Policy.load(tmp_path / "missing").check(Reference.parse("quay.io/x:1"))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"default": []}', b'{"default": [{}]}', b'{"default": {}}']
)
def test_a_malformed_policy_is_refused(data: bytes) -> None:
    with pytest.raises(BadPolicy, match="here"):
        Policy.parse(data, "here")
