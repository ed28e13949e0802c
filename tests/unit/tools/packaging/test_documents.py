"""Documents for operators: what they say to type and to write is what Podwright takes."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from conf.load import load
from cri.cli.arguments import parser
from oci.cdi.spec import parse as parse_cdi
from storage.registry.auth import find, read
from storage.registry.registries_conf import Registries
from tools.packaging.contents import documents
from tools.packaging.layout import CHECKOUT

DOCUMENTS = [path for path in documents() if path.suffix == ".md"]
TEXTS = {str(path.relative_to(CHECKOUT)): path.read_text() for path in DOCUMENTS}
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]+)?\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?: {4})?(podwright [a-z].*?)(?= +#| &&| >| \||$)", re.MULTILINE)


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (name, body) for name, text in TEXTS.items() for kind, body in BLOCK.findall(text) if kind == language
    ]


def headings(text: str) -> set[str]:
    """As anchors, by the rule of the forges."""
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in found}


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_leads_to_something_that_is_installed_too(name: str) -> None:
    for target, anchor in LINK.findall(TEXTS[name]):
        path = (CHECKOUT / name).parent / target if target else CHECKOUT / name
        path = path.resolve()
        installed = path in documents() or path.is_dir() or (CHECKOUT / "docs/examples") in path.parents
        assert installed, f"{name}: {target}"
        if anchor:
            assert anchor[1:] in headings(path.read_text()), f"{name}: {target}{anchor}"


@pytest.mark.parametrize(("name", "text"), blocks("toml"))
def test_configuration_in_documents_loads(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "file.conf"
    file.write_text(text)
    (tmp_path / "empty").mkdir()
    if text.startswith("# /etc/containers/registries.conf\n"):
        assert Registries.load(file, tmp_path / "empty").remarks == ()
    else:
        assert text.startswith("# /etc/podwright/"), name
        assert load(file, tmp_path / "empty").warnings == ()


@pytest.mark.parametrize(("name", "text"), blocks("json"))
def test_credentials_in_documents_are_found(name: str, text: str, tmp_path: Path) -> None:
    (registry,) = json.loads(text)["auths"]
    file = tmp_path / "auth.json"
    file.write_text(text)
    host, _, repository = registry.partition("/")
    assert find(read(file), host, f"{repository}/app", "auth.json")


@pytest.mark.parametrize(("name", "text"), blocks("yaml"))
def test_yaml_in_documents_is_what_it_is_said_to_be(name: str, text: str) -> None:
    document = yaml.safe_load(text)
    if "cdiVersion" in document:
        parse_cdi(document)
    else:
        assert document["kind"] == "Pod"


@pytest.mark.parametrize("name", TEXTS)
def test_commands_in_documents_are_commands(name: str) -> None:
    for line in COMMAND.findall(TEXTS[name]):
        parser().parse_args(shlex.split(line)[1:])


def test_the_commands_are_found_at_all() -> None:
    found = [line for text in TEXTS.values() for line in COMMAND.findall(text)]
    assert len(found) > 10
    assert "podwright image import images.tar" in found
