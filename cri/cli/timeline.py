"""``podwright timeline``: what was done and is being done to a pod, container or image, oldest first."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from cri.cli.arguments import load_configuration
from cri.cli.ops import ask, progress_lines, step_text
from cri.cli.output import show
from cri.timeline.form import duration, moment


def run(arguments: argparse.Namespace) -> int:
    """Print an operation a paragraph: when, how long, how it ended, and its steps.

    Raises:
        NoDaemon, Refused: see cri/cli/ops.py.
    """
    listen = str(load_configuration(arguments).config.api.listen)
    question = {"ask": "timeline", "of": arguments.name, "limit": arguments.limit}
    answer = ask(listen, question)
    show(arguments.output, answer, _lines(answer))
    return 0


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    every = [*answer["operations"], *answer["running"]]
    for each in every:
        yield from operation_lines(each)
    if not every:
        yield "nothing is remembered"


def operation_lines(each: Mapping[str, Any]) -> Iterator[str]:
    """One operation, with its steps below it."""
    yield headline(each)
    for step in each.get("steps", ()):
        yield f"    +{duration(step['at_ms'] / 1000):<9} {step_text(step)}"
    yield from (f"    {line}" for line in progress_lines(each))


def headline(each: Mapping[str, Any]) -> str:
    """When, what, on what, how long and with what outcome."""
    took = "" if each["verb"] == "Exited" else f" {duration(each['ms'] / 1000)}"
    outcome = f" {each['state']}" if each["state"] != "done" else ""
    error = f": {each['error']}" if each.get("error") else ""
    return f"{moment(each['began_ns'])}  {each['verb']} {subject(each)}{took}{outcome}{error}"


def subject(each: Mapping[str, Any]) -> str:
    """``namespace/pod/container``, an image, or what the operation itself calls it."""
    about = each.get("about", {})
    if each["verb"] == "PullImage" or not about.get("pod"):
        return str(each["subject"])
    return "/".join(filter(None, (about.get("namespace"), about["pod"], about.get("container"))))
