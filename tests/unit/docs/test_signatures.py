"""docs/signatures.md: each of its examples is read as what it says it is."""

import re
from pathlib import Path

import pytest

from storage.reference import Reference
from storage.signatures.lookaside import Lookasides
from storage.signatures.policy import Policy

TEXT = (Path(__file__).parents[3] / "docs/signatures.md").read_text()
EXAMPLES = re.findall(r"```(?:json|yaml) (policy|registries\.d)\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("text", [text for kind, text in EXAMPLES if kind == "policy"])
def test_policies_are_policies(text: str) -> None:
    policy = Policy.parse(text.encode(), "docs/signatures.md")
    assert policy.ruling(Reference.parse("registry.example.com/keyless/a:1")).wants_signatures
    assert not list(policy.unsatisfiable())


def test_registries_d_is_read() -> None:
    [text] = [text for kind, text in EXAMPLES if kind == "registries.d"]
    found = Lookasides().merged(text.encode(), "docs/signatures.md")
    image = Reference.parse("registry.example.com/cosign/a:1")
    assert found.attachments(image)
    assert found.base(image) == "https://signatures.example.com"
    assert not found.attachments(Reference.parse("registry.example.com/gpg:1"))


def test_all_code_of_the_document_is_tried() -> None:
    assert len(EXAMPLES) == TEXT.count("```") // 2 == 3
