"""The documents as tests see them: blocks, commands, inline code and links of Markdown files."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from tests.harness.cache import PROJECT

# What an operator reads; decisions and the change log speak of what was.
OPERATORS = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "bench/README.md",
    *(f"docs/{path.name}" for path in sorted((PROJECT / "docs").glob("*.md"))),
)
# Programs that lines to type begin with, by where the tests run such lines: "here" on a private daemon
# (tests/integration/docs), on the cluster (tests/cluster), in the virtual machine (tests/node). What needs
# another network, another runtime or another machine is run nowhere as it stands, but for what tests/node
# does with stand-ins.
PLACES = {
    "here": "cat crictl crun ls nsenter PID podwright uname",
    "cluster": "kubectl",
    "node": "cp journalctl mkdir systemctl systemd-cgls",
    "nowhere": "adduser apt apt-get cd ctr curl docker echo grep install kind kubeadm make modprobe "
    "nvidia-ctk podman printf sh sysctl tee",
}
PROGRAMS = frozenset(" ".join(PLACES.values()).split())
_FENCE = re.compile(r"^```(\w*)\s*$")
_INLINE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+\s+(.*)$")
_OPERATORS = frozenset({"&&", "||", ";", "|", "&"})
_REDIRECTIONS = frozenset({">", ">>", "<", ">&"})


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that are set apart, by a fence (with its language) or by four spaces (with none)."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def text_of(document: str) -> str:
    return (PROJECT / document).read_text()


def blocks(document: str) -> Iterator[Block]:
    """In their order."""
    language: str | None = None
    begin, held = 0, list[str]()
    lines = [*text_of(document).splitlines(), ""]
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if language is not None and not fence:
            held.append(line)
        elif fence or (held and line.strip() and not line.startswith("    ")):
            if held:
                yield Block(document, begin, language or "", "\n".join(held).rstrip())
            held = []
            language = fence[1] if fence and language is None else None
            begin = number + 1
        elif line.startswith("    ") and (held or not lines[number - 2].strip()):
            begin = begin if held else number
            held.append(line[4:])
        elif held and not line.strip():
            held.append("")
    if held:
        yield Block(document, begin, "", "\n".join(held).rstrip())


def prose(document: str) -> Iterator[tuple[int, str]]:
    """The lines outside of fences, with their numbers."""
    fenced = False
    for number, line in enumerate(text_of(document).splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and not (line.startswith("    ") and line.strip()):
            yield number, line


def inline_code(document: str) -> Iterator[tuple[int, str]]:
    """What stands in backquotes, with its line."""
    for number, line in prose(document):
        for found in _INLINE.finditer(line):
            yield number, found[2].strip().replace(r"\|", "|")


def links(document: str) -> Iterator[tuple[int, str]]:
    """Where links lead."""
    for number, line in prose(document):
        for found in _LINK.finditer(_INLINE.sub("", line)):
            yield number, found[1]


def anchors(document: str) -> frozenset[str]:
    """What a link to a heading of the document may name, as forges make them."""
    found = (_HEADING.match(line) for _, line in prose(document))
    titles = (re.sub(r"[^\w\- ]", "", one[1].lower()) for one in found if one)
    return frozenset(title.strip().replace(" ", "-") for title in titles)


def commands(line: str) -> Iterator[list[str]]:
    """The simple commands of a line of shell, without redirections, assignments and comments."""
    line = re.sub(r"\$\([^()]*\)", "SUBSTITUTED", line.replace("…", "ELLIPSIS"))
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.commenters = "#"
    lexer.wordchars += "$@%:,+^{}[]!"
    lexer.whitespace_split = True
    words: list[str] = []
    skipped = False
    for word in [*lexer, ";"]:
        if word in _OPERATORS:
            if words:
                yield words
            words = []
        elif word in _REDIRECTIONS:
            skipped = True
        elif skipped:
            skipped = False
        elif words or not re.fullmatch(r"\w+=.*", word):
            words.append(word)


def substituted(line: str) -> Iterator[str]:
    """What is within ``$(…)``."""
    yield from re.findall(r"\$\(([^()]*)\)", line)


def typed(document: str) -> Iterator[tuple[str, str]]:
    """The lines to type that are set apart, each with its place in the document."""
    for block in blocks(document):
        if is_shell(block):
            for number, line in enumerate(block.text.splitlines(), block.line):
                if line.strip():
                    yield f"{document}:{number}", line


def is_shell(block: Block) -> bool:
    """A fence says so; other blocks are if each of their lines begins with a program."""
    if block.language:
        return block.language == "sh"
    return all(_first_word(line) in PROGRAMS for line in block.text.splitlines() if line.strip())


def place_of(line: str) -> str:
    """Where tests run it: a key of PLACES."""
    first = _first_word(line)
    (found,) = (place for place, programs in PLACES.items() if first in programs.split())
    return "nowhere" if re.search(r"unix:///run/(?!podwright)", line) else found


def _first_word(line: str) -> str:
    return re.split(r"[\s=]", line, maxsplit=1)[0]
