"""What the documents name is there: commands and their options, targets, keys, files, links, messages.

What they say to type is run by tests/integration/docs and tests/cluster/test_documents.py.
"""

import ast
import contextlib
import io
import json
import re
import tomllib
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from conf.load import load
from conf.tables import schema_tables
from conf.unsupported import UNSUPPORTED
from cri.cli.arguments import parser
from oci.cdi.spec import parse as parse_cdi
from storage.registry.auth import find
from storage.registry.registries_conf import Registries
from tests.harness.cache import PROJECT
from tests.harness.documents import (
    OPERATORS,
    PROGRAMS,
    anchors,
    blocks,
    commands,
    inline_code,
    links,
    substituted,
    text_of,
    typed,
)
from tools.packaging.contents import documents as packaged
from tools.packaging.contents import texts
from tools.packaging.layout import Layout

DOCUMENTS = pytest.mark.parametrize("document", OPERATORS)
# Keys of other programs, fields of the CRI and names that are spelt like an option.
NOT_OPTIONS = frozenset(
    re.findall(
        r"\S+",
        """bin_dir br_netfilter cdi_devices cgroup_parent conf_dir default_runtime_name enable_cdi ip_forward
        max_concurrent_downloads pidfd_getfd process_madvise sandbox_image size_bytes st_dev timeout_s
        usage_nano_cores""",
    )
)
# tests/unit/monitoring knows them.
METRICS = ("container_", "podwright_")
PATH = re.compile(r"(?<![\w/.<-])[\w./-]+\.(?:py|md|toml|txt|json|conflist|yaml|service)\b")
# Where a message is put together: option and sentence, reasons.
COMPOSED = re.compile(r"^[a-z]+_[a-z]+ |, but(?: |$)|: |, ")
# What these documents quote of the kubelet, kubeadm and other programs, or of kinds of messages.
OTHERS_WORDS = frozenset(
    {
        "could not connect to the container runtime",
        "found multiple CRI endpoints",
        "[ERROR FileContent--proc-sys-net-ipv4-ip_forward]",
        "running with swap on is not supported",
        "cni config uninitialized",
        "container runtime is down",
        "PLEG is not healthy",
        "FailedCreatePodSandBox",
        "Failed to initialize NVML",
        "Insufficient nvidia.com/gpu",
        "[ERROR SystemVerification]",
        "[ERROR Swap]",
        "Loop … detected",
        "ErrImagePull",
        "exec format error",
    }
)


def lines_of_shell(document: str) -> Iterator[tuple[str, str]]:
    """Where it stands, and a line to type."""
    yield from typed(document)
    for number, code in inline_code(document):
        if re.match(r"(podwright|make|crictl|kubectl|systemctl) \S", code) and not code.endswith("…"):
            yield f"{document}:{number}", re.sub(r"(?<=\w)\|\w[\w|]*", "", code)  # a|b: either of them


@DOCUMENTS
def test_every_command_is_one_that_there_is(document: str) -> None:
    wrong = [
        f"{where}: {trouble}"
        for where, line in lines_of_shell(document)
        for text in (line, *substituted(line))
        for words in commands(text)
        for trouble in troubles(words)
    ]
    assert wrong == []


def troubles(words: list[str]) -> Iterator[str]:
    program = words[0]
    if program == "podwright":
        yield from not_parsed(words[1:])
    elif program == "make":
        yield from not_made(words[1:])
    elif program not in PROGRAMS:
        yield f"what is {program}?"


def not_parsed(arguments: list[str]) -> Iterator[str]:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            parser().parse_args(arguments)
    except SystemExit as error:
        if error.code != 0:
            yield said.getvalue()


def not_made(arguments: list[str]) -> Iterator[str]:
    makefile = (PROJECT / "Makefile").read_text()
    for argument in arguments:
        name, is_variable, _ = argument.partition("=")
        what = rf"\b{name}\b" if is_variable else rf"(?m)^{re.escape(name)}:"
        if not re.search(what, makefile):
            yield f"make {argument}"


@DOCUMENTS
def test_every_option_of_the_command_line_exists(document: str) -> None:
    known = set(re.findall(r"--[a-z-]+", " ".join(options_of(parser()))))
    for number, code in inline_code(document):
        if code.startswith("--"):
            for option in re.findall(r"(?<!\S)--[a-z-]+", code):
                others = {"--cri", "--cri-socket", "--root", "--version"}
                assert option in known | others, f"{document}:{number}: {option}"


def options_of(top: ArgumentParser) -> Iterator[str]:
    for action in top._actions:
        yield from action.option_strings
        choices = action.choices if isinstance(action.choices, dict) else {}
        for each in choices.values():
            yield from options_of(each)


@DOCUMENTS
def test_every_key_is_an_option(document: str) -> None:
    known = {key for table in schema_tables().values() for key in table.__dataclass_fields__}
    known |= {key for table in UNSUPPORTED.values() for key in table}
    known |= {part for table in UNSUPPORTED for part in table}
    named = [(number, code.split(" = ")[0]) for number, code in inline_code(document)]
    spelt = [(number, key) for number, key in named if re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", key)]
    options = [(number, key) for number, key in spelt if not key.startswith(METRICS)]
    assert [(number, key) for number, key in options if key not in known | NOT_OPTIONS] == []


@DOCUMENTS
def test_every_setting_is_one_that_loads(document: str) -> None:
    where = {key: table for table, kind in schema_tables().items() for key in kind.__dataclass_fields__}
    for number, code in inline_code(document):
        key, is_setting, text = code.partition(" = ")
        if is_setting and key in where and "…" not in code:
            (value,) = tomllib.loads(f"x = {text}").values()
            loaded = load(Path("/dev/null"), None, {".".join((*where[key], key)): value})
            assert loaded.sources, f"{document}:{number}"


@DOCUMENTS
def test_every_file_that_is_shown_loads(document: str, tmp_path: Path) -> None:
    for block in blocks(document):
        name = block.text.splitlines()[0]
        if "podwright.conf" in name:
            file = tmp_path / "podwright.conf"
            file.write_text(block.text)
            loaded = load(file)
            assert loaded.warnings == (), block
            assert loaded.sources, block
        elif "registries.conf" in name:
            file = tmp_path / "registries.conf"
            file.write_text(block.text)
            assert Registries.load(file, None).remarks == (), block
        elif block.language == "toml":
            pytest.fail(f"{block}: its first line does not say which file it is")
        elif block.language == "json":
            found = find(json.dumps(json.loads(block.text)).encode(), "registry.example.com", "team/app", "")
            assert found is not None, block
        elif block.language == "yaml":
            document_ = yaml.safe_load(block.text)
            if "cdiVersion" in document_:
                assert parse_cdi(document_).devices, block
            else:
                assert document_["kind"] == "Pod", block


@DOCUMENTS
def test_every_link_leads_somewhere(document: str) -> None:
    for number, link in links(document):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (PROJECT / document).parent / name if name else PROJECT / document
        assert target.exists(), f"{document}:{number}: {link}"
        if anchor:
            assert anchor in anchors(str(target.resolve().relative_to(PROJECT))), (
                f"{document}:{number}: {link}"
            )


@DOCUMENTS
def test_links_lead_to_what_the_package_has_too(document: str) -> None:
    """The documents lie in it as in the checkout."""
    have = {path.resolve() for path in packaged()}
    if PROJECT / document not in have:
        return
    for number, link in links(document):
        target = ((PROJECT / document).parent / link.partition("#")[0]).resolve()
        if target.suffix == ".md" and not re.match(r"https?:", link):
            assert target in have, f"{document}:{number}: {link}"


@DOCUMENTS
def test_every_path_of_the_checkout_and_of_the_installation_exists(document: str) -> None:
    made = {"build", "dist"}
    roots = {path.name for path in PROJECT.iterdir() if path.is_dir() and path.name[0] != "."} - made
    installed = {str(path) for path in texts(Layout.parse("/usr"), datetime.now(UTC).date())}
    for number, code in inline_code(document):
        for path in re.findall(
            r"(?<![\w/.<-])[\w./-]+\.(?:py|md|toml|txt|json|conflist|yaml|service)\b", code
        ):
            if path.split("/")[0] in roots and "/" in path:
                assert (PROJECT / path).exists(), f"{document}:{number}: {path}"
        for path in re.findall(r"/usr/share/doc/podwright/[\w./-]+\w", code):
            assert any(each == path or each.startswith(f"{path}/") for each in installed), (number, path)


def strings_of_the_product() -> str:
    """Every piece of text in the sources, one a line; what an f-string fills in is a hole."""
    found = []
    for package in ("api", "conf", "host", "storage", "oci", "cni", "cri"):
        for file in (PROJECT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.JoinedStr):
                    found.append("".join(_piece(part) for part in node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(found)


def _piece(part: ast.expr) -> str:
    return part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "…"


@pytest.fixture(scope="module")
def said() -> str:
    return strings_of_the_product()


@DOCUMENTS
def test_every_message_that_is_quoted_is_one_of_ours_or_known_as_others(document: str, said: str) -> None:
    wrong = [
        f"{document}:{number}: {piece!r} of {message!r}"
        for number, message in quoted(document)
        if message not in OTHERS_WORDS
        for piece in pieces(message)
        if piece not in said and not all(part in said for part in COMPOSED.split(piece))
    ]
    assert wrong == []


def pieces(message: str) -> Iterator[str]:
    """What of it is always the same, and long enough to be known by."""
    for piece in re.split(r"…|\bN\b|\d+", message):
        words = piece.strip(" :")
        if len(words) > 3:
            yield words


def quoted(document: str) -> Iterator[tuple[int, str]]:
    """Inline code in the first column of tables of messages."""
    headed = False
    for number, line in enumerate(text_of(document).splitlines(), 1):
        if not line.startswith("|"):
            headed = False
        elif re.match(r"\| (message|you see) \|", line):
            headed = True
        elif headed and not line.startswith("|---"):
            first = line.split(" | ")[0]
            yield from ((number, found[2]) for found in re.finditer(r"(`+)(.+?)\1", first))


def test_every_document_for_operators_is_in_the_list_of_the_readme() -> None:
    named = {link for _, link in links("README.md")}
    pages = {f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md")}
    assert pages <= named
