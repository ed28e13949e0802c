"""What a program says in TAP, the Test Anything Protocol; pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

_LINE = re.compile(r"(not )?ok\b(?: \d+)?(?: - | )?(.*)")
_PLAN = re.compile(r"1\.\.(\d+)(?:\s*#\s*skip\b.*)?", re.IGNORECASE)
_DIRECTIVE = re.compile(r"#\s*(skip|todo)\b", re.IGNORECASE)
# What differs from run to run: names of temporary directories, of containers, numbers.
_VARYING = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|/tmp/\S+|\b\d+\b")


class Verdict(StrEnum):
    """What is said of a program in the table."""

    PASSED = "passed"
    FAILED = "FAILED"
    SKIPPED = "skipped"
    HANGS = "HANGS"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One program with one runtime. ``assertions``: whether each holds, by its words; ``told``: why not."""

    verdict: Verdict
    assertions: Mapping[str, bool] = field(default_factory=dict)
    told: str = ""

    @property
    def failed(self) -> list[str]:
        """The words of those that do not hold."""
        return [words for words, holds in self.assertions.items() if not holds]


def judge(text: str, code: int) -> Outcome:
    """``text`` is what the program has printed, ``code`` how it ended; one that says nothing has failed."""
    assertions: dict[str, bool] = {}
    planned: int | None = None
    skipped = 0
    for line in text.splitlines():
        if plan := _PLAN.fullmatch(line.strip()):
            planned = int(plan[1])
        elif found := _LINE.match(line):
            words = _words(found[2])
            directive = _DIRECTIVE.search(found[2])
            skipped += directive is not None and directive[1].lower() == "skip"
            # The same words again are the same assertion of something else: it holds when all do.
            assertions[words] = assertions.get(words, True) and (found[1] is None or directive is not None)
    if not all(assertions.values()) or code != 0:
        return Outcome(Verdict.FAILED, assertions, _why(text))
    if (planned == 0 and not assertions) or (assertions and skipped == len(assertions)):
        return Outcome(Verdict.SKIPPED, assertions)
    if not assertions:
        return Outcome(Verdict.FAILED, told="it said nothing")
    return Outcome(Verdict.PASSED, assertions)


def _words(text: str) -> str:
    return _VARYING.sub("…", _DIRECTIVE.split(text)[0].strip())


def _why(text: str) -> str:
    """The last line that is no part of the protocol."""
    lines = [line.strip("# ").strip() for line in text.splitlines()]
    told = [line for line in lines if line and not _LINE.match(line) and not _PLAN.fullmatch(line)]
    return told[-1][:200] if told else ""
