"""``podwright status``: what the daemon says of itself and its containers, as ``crio status`` asks it."""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cri.cli.arguments import load_configuration
from cri.cli.inspection import ask, ask_json
from cri.cli.output import say, say_lines, show, table

_SHORT_ID = 13


def run(arguments: argparse.Namespace) -> int:
    """Ask for what the action names, and print it.

    Raises:
        NoDaemon: none answers. Refused: it has no such container.
    """
    socket = _socket(arguments)
    _ACTIONS[arguments.action](socket, arguments)
    return 0


def _socket(arguments: argparse.Namespace) -> Path:
    if arguments.socket is not None:
        given: Path = arguments.socket
        return given
    config = load_configuration(arguments).config
    return config.api.inspection_socket or config.runroot / "inspect.sock"


def _info(socket: Path, arguments: argparse.Namespace) -> None:
    found = ask_json(socket, "/info")
    show(arguments.output, found, _info_lines(found))


def _info_lines(found: Mapping[str, Any]) -> Iterator[str]:
    names = {
        "version": "version",
        "pid": "process",
        "cgroup_driver": "cgroup driver",
        "storage_driver": "storage driver",
        "storage_root": "storage root",
        "runroot": "runroot",
        "default_runtime": "default runtime",
        "sandboxes": "pods",
        "containers": "containers",
    }
    yield from (f"{name}: {found[key]}" for key, name in names.items() if key in found)
    for kind in ("uids", "gids"):
        yield f"default {kind[:-1].upper()} mappings (format <container>:<host>:<size>):"
        for each in found.get("default_id_mappings", {}).get(kind) or ():
            yield f"  {each['container_id']}:{each['host_id']}:{each['size']}"


def _config(socket: Path, arguments: argparse.Namespace) -> None:
    if arguments.output == "table":
        say_lines(ask(socket, "/config"))
    else:
        show(arguments.output, ask_json(socket, "/config.json"), ())


def _containers(socket: Path, arguments: argparse.Namespace) -> None:
    if arguments.id:
        found = ask_json(socket, f"/containers/{quote(arguments.id, safe='')}")
        show(arguments.output, found, _lines(found))
        return
    every = ask_json(socket, "/containers")["containers"]
    if arguments.quiet:
        for each in every:
            say(str(each["id"]))
        return
    keys = ("state", "pid", "image", "name")
    rows = [(str(one["id"])[:_SHORT_ID], *(one[key] for key in keys)) for one in every]
    show(arguments.output, every, table(("CONTAINER", "STATE", "PID", "IMAGE", "NAME"), rows))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    for key, value in found.items():
        name = key.replace("crio_annotations", "CRI-O annotations").replace("_", " ")
        if isinstance(value, Mapping):
            yield f"{name}:"
            yield from (f"  {each}: {value[each]}" for each in sorted(value))
        else:
            yield f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"


def _text(target: str) -> Callable[[Path, argparse.Namespace], None]:
    def print_it(socket: Path, arguments: argparse.Namespace) -> None:
        text = ask(socket, target)
        if arguments.file is not None:
            _write(arguments.file, text)
        elif arguments.output == "table":
            say_lines(text)
        else:
            show(arguments.output, {"text": text.splitlines()}, ())

    return print_it


def _write(path: Path, text: str) -> None:
    """For root alone, whoever made the file before."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _changing(verb: str) -> Callable[[Path, argparse.Namespace], None]:
    def change(socket: Path, arguments: argparse.Namespace) -> None:
        ask(socket, f"/{verb}/{quote(arguments.id, safe='')}", method="POST")
        show(arguments.output, {"id": arguments.id, "done": verb}, ())

    return change


_ACTIONS: Mapping[str, Callable[[Path, argparse.Namespace], None]] = {
    "info": _info,
    "i": _info,
    "config": _config,
    "c": _config,
    "containers": _containers,
    "container": _containers,
    "cs": _containers,
    "s": _containers,
    "tasks": _text("/debug/tasks"),
    "goroutines": _text("/debug/goroutines"),
    "g": _text("/debug/goroutines"),
    "heap": _text("/debug/heap"),
    "hp": _text("/debug/heap"),
    "pause": _changing("pause"),
    "unpause": _changing("unpause"),
}
