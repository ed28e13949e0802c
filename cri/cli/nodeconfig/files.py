"""A generated file: how it is printed, and how it is put into a directory."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from api.errors import AlreadyExists
from host.files import write_atomic
from host.private import public_directory

_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")


class FileDiffers(AlreadyExists):
    """A file of this name is there, with something else in it."""


@dataclass(frozen=True, slots=True)
class File:
    """``name`` is without directories; the text begins with comments that say where it belongs."""

    name: str
    text: str
    mode: int = 0o644


def document(comment: str, content: Mapping[str, object]) -> str:
    """One YAML document below its comment."""
    return "".join(f"# {line}\n" for line in comment.splitlines()) + yaml_text(content)


def yaml_text(content: object) -> str:
    """YAML as people write it: keys in their order, texts of several lines as blocks."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False)


def template(name: str, values: Mapping[str, str]) -> str:
    """The template of that name, each ``@KEY@`` in it replaced.

    Raises:
        KeyError: The template asks for what ``values`` lacks.
    """
    text = (resources.files(__package__) / name).read_text(encoding="utf-8")
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


def printed(files: Sequence[File]) -> str:
    """The text of one file as it is, or of several below headers that name them."""
    if len(files) == 1:
        return files[0].text
    return "\n".join(f"# file: {file.name}\n{file.text}" for file in files)


def write(files: Sequence[File], directory: Path) -> list[Path]:
    """Put the files into ``directory``, which is made if it is missing; their paths.

    Raises:
        FileDiffers: One is there with another content; nothing was written.
        OSError: The directory cannot be written.
    """
    paths = [directory / file.name for file in files]
    for file, path in zip(files, paths, strict=True):
        if path.exists() and path.read_text(encoding="utf-8") != file.text:
            raise FileDiffers(f"{path} is there and differs; remove it, or name another directory")
    public_directory(directory)
    for file, path in zip(files, paths, strict=True):
        write_atomic(path, file.text.encode(), file.mode)
    return paths


class _Dumper(yaml.SafeDumper):
    """SafeDumper with blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
