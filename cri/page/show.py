"""Parts of the page, made of documents (cri/history.py) and records: pure, and without a node."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cri.page.markup import Markup, bar, element, link, table, text
from cri.timeline.form import bytes_text, duration, moment

Document = Mapping[str, Any]


def operations(every: Sequence[Document], empty: str) -> Markup:
    """A table of operations, each with a link to its own page."""
    return table(("began", "operation", "of", "took", "outcome"), [_row(each) for each in every], empty)


def _row(each: Document) -> Sequence[object]:
    return (
        element("time", moment(each["began_ns"])),
        link(f"/ui/operations/{each['id']}", each["verb"]),
        subject(each),
        duration(each["ms"] / 1000),
        outcome(each),
    )


def subject(each: Document) -> Markup:
    """Whose it is, with a link to the pod where it has one."""
    about = each.get("about", {})
    names = "/".join(filter(None, (about.get("namespace"), about.get("pod"), about.get("container"))))
    if each["verb"] == "PullImage" or not names:
        return text(each["subject"])
    return link(f"/ui/pods/{about['sandbox_id']}", names) if about.get("sandbox_id") else text(names)


def outcome(each: Document) -> Markup:
    """How it ended, or what it is at."""
    if each["state"] == "running":
        at = [step["name"] for step in each.get("steps", ()) if step["state"] == "running"]
        return text(f"in {at[-1]}" if at else "running")
    if each.get("error"):
        return element("span", each["error"], class_="bad")
    return text(each["state"])


def waterfall(each: Document) -> Markup:
    """The steps of an operation below each other, each where it lay in the operation's time."""
    whole = max(each["ms"], 0.001)
    rows = [
        (
            step["name"],
            duration(step["at_ms"] / 1000),
            duration(step["ms"] / 1000),
            bar(100 * step["at_ms"] / whole, 100 * step["ms"] / whole, step["state"], step["state"]),
        )
        for step in each.get("steps", ())
    ]
    return table(("step", "after", "took", "when"), rows, "it has no steps")


def progress(each: Document) -> Markup:
    """The layers of a pull with bars; nothing for what is no pull."""
    told = each.get("progress")
    if not told:
        return Markup("")
    head = (
        f"{bytes_text(told['done_bytes'])} of {bytes_text(told['total_bytes'])}, {told['done_layers']} of "
        f"{told['total_layers']} layers, {bytes_text(told['rate'])} a second"
    )
    rows = [
        (
            element("code", layer["name"].removeprefix("sha256:")[:12]),
            layer["state"],
            f"{bytes_text(layer['done_bytes'])} of {bytes_text(layer['size_bytes'])}",
            bar(0, _share(layer), _kind(layer["state"]), f"{_share(layer):.0f} %"),
        )
        for layer in told["layers"]
    ]
    return element("section", element("p", head), table(("layer", "state", "bytes", "how far"), rows))


def _share(layer: Document) -> float:
    if layer["state"] in ("done", "here"):
        return 100.0
    return float(100 * layer["done_bytes"] / max(layer["size_bytes"], 1))


def _kind(state: str) -> str:
    return {"failed": "failed", "fetching": "running", "waiting": "running"}.get(state, "done")


def findings(found: Iterable[Mapping[str, Any]]) -> Markup:
    """What ``podwright why`` says."""
    parts = []
    for each in found:
        lines = [element("p", element("strong", each["what"]))]
        for name, words in (("tried", "Tried"), ("whose", "Whose matter"), ("todo", "What to do")):
            if each.get(name):
                lines.append(element("p", f"{words}: {each[name]}"))
        parts.append(element("div", *lines, class_="why"))
    return Markup("".join(parts))


def troubles(every: Sequence[Mapping[str, str]]) -> Markup:
    """What does not work on this node."""
    rows = [(each["subject"], element("span", each["error"], class_="bad")) for each in every]
    return table(("what", "trouble"), rows, "all is well")
