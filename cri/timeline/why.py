"""Why a pod is not where it should be, in words: what it waits for, since when, what was tried, whose fault
that is and what to do. Pure: made of documents (cri/history.py) and of what the stores say.

A finding is {"what", "since_ns", "tried", "whose", "todo"}, the gravest first:

    an operation runs      it waits for the innermost step that runs
    the last one failed    and no later one of its kind did better
    otherwise              what state it is in, and whose turn it is
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from cri.history import Document
from cri.timeline import faults
from cri.timeline.form import bytes_text, duration, moment

Finding = dict[str, object]

# What a pod goes through; only these can be what it waits for.
_SOON_S = 1.0


def findings(
    running: Sequence[Document],
    past: Sequence[Document],
    states: Sequence[Mapping[str, object]],
    handler: str,
) -> list[Finding]:
    """``past`` oldest first; ``states`` as ``of`` in cri/timeline/views.py gives them."""
    found = [_running(each, past, handler) for each in running]
    busy = {_key(each) for each in running}
    found += [_failed(tries, handler) for key, tries in _failures(past).items() if key not in busy]
    return found or [*_states(states)]


def _key(each: Document) -> tuple[str, str]:
    about = each.get("about", {})
    return str(each["verb"]), str(about.get("container") or about.get("pod") or each["subject"])


def _running(each: Document, past: Sequence[Document], handler: str) -> Finding:
    step = waits_in(each)
    name = str(step["name"]) if step else ""
    at_ms = float(step["at_ms"]) if step else 0.0
    waited_ms = float(each["ms"]) - at_ms
    fault = faults.of_step(name, handler)
    since_ns = int(each["began_ns"]) + round(at_ms * 1e6)
    where = f'step "{name}" of {each["verb"]}' if name else str(each["verb"])
    what = f"it waits in {where}, since {moment(since_ns)}, for {duration(waited_ms / 1000)}"
    return {
        "what": what + _pull_words(each),
        "since_ns": since_ns,
        "tried": _tried(each, past),
        "whose": fault.whose,
        "todo": fault.advice,
        "operation": each["id"],
    }


def waits_in(each: Document) -> Document | None:
    """The innermost step that runs: the one that began last."""
    steps = [step for step in each.get("steps", ()) if step["state"] == "running"]
    return steps[-1] if steps else None


def _pull_words(each: Document) -> str:
    progress = each.get("progress")
    if not progress:
        return ""
    done, total = bytes_text(progress["done_bytes"]), bytes_text(progress["total_bytes"])
    layers = f"{progress['done_layers']} of {progress['total_layers']} layers"
    return f"; {done} of {total} and {layers} are here, {bytes_text(progress['rate'])} a second come"


def _tried(each: Document, past: Sequence[Document]) -> str:
    words = []
    if (asked := int(each.get("asked", 1))) > 1:
        words.append(f"asked for {asked} times, all of which wait for this one")
    if not each.get("waiting", 1):
        words.append("who asked has gone away; it goes on, and a repeat joins it")
    before = [one for one in past if _key(one) == _key(each)]
    if before and before[-1]["state"] == "failed":
        words.append(f"the try before failed: {before[-1].get('error', '')}")
    done = [str(step["name"]) for step in each.get("steps", ()) if step["state"] == "done"]
    if done:
        words.append(f"done before: {', '.join(done)}")
    return "; ".join(words)


def _failures(past: Iterable[Document]) -> dict[tuple[str, str], list[Document]]:
    """Tries that failed since the last that did not, by what was tried; exits are no tries."""
    found: dict[tuple[str, str], list[Document]] = {}
    for each in past:
        if each["verb"] in ("Exited", "ExecSync"):
            continue
        if each["state"] in ("failed", "cut short"):
            found.setdefault(_key(each), []).append(each)
        else:
            found.pop(_key(each), None)
    return found


def _failed(tries: Sequence[Document], handler: str) -> Finding:
    last = tries[-1]
    step = failed_in(last)
    error = str(last.get("error", ""))
    took = f" after {duration(float(step['ms']) / 1000)}" if step and step["ms"] >= 1000 * _SOON_S else ""
    where = f' in step "{step["name"]}"{took}' if step else ""
    fault = faults.of_error(error, str(step["name"]) if step else "", handler)
    since_ns = int(tries[0]["began_ns"])
    return {
        "what": f"{last['verb']} failed{where}: {error}",
        "since_ns": since_ns,
        "tried": f"{len(tries)} time{'s' * (len(tries) > 1)} since {moment(since_ns)}",
        "whose": fault.whose,
        "todo": fault.advice,
        "operation": last["id"],
    }


def failed_in(each: Document) -> Document | None:
    """The step at fault: the one that ended first of those that failed; what holds it fails with it."""
    failed = [step for step in each.get("steps", ()) if step["state"] == "failed"]
    return min(failed, key=lambda step: float(step["at_ms"]) + float(step["ms"]), default=None)


def _states(states: Sequence[Mapping[str, object]]) -> Iterator[Finding]:
    for state in states:
        yield {
            "what": str(state["words"]),
            "since_ns": state.get("since_ns", 0),
            "tried": "",
            "whose": str(state.get("whose", "")),
            "todo": str(state.get("todo", "")),
        }


def lines(subject: str, found: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """For people."""
    for each in found:
        yield f"{subject}: {each['what']}."
        for name, words in (("tried", "tried"), ("whose", "whose"), ("todo", "do")):
            if each.get(name):
                yield f"  {words + ':':<7}{each[name]}"
