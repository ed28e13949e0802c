"""What ginkgo's JUnit report says, and whether it is as good as expected."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from tests.critest.expected import Skip

MESSAGE_LINES = 12


class UnreadableReport(Exception):
    """The file is not a JUnit report of ginkgo: critest died before it wrote one, perhaps."""


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Spec:
    """One spec: its full text without the node type, and what came of it.

    ``selected`` is false when the focus or skip expression left it out; such a spec never ran.
    """

    name: str
    outcome: Outcome
    message: str = ""
    selected: bool = True

    @classmethod
    def of_case(cls, case: ET.Element) -> Self:
        name = case.get("name", "").removeprefix("[It]").strip()
        status = case.get("status", "")
        for tag in ("failure", "error"):
            if (problem := case.find(tag)) is not None:
                return cls(
                    name, Outcome.FAILED, f"{problem.get('message', '')}\n{problem.text or ''}".strip()
                )
        if (skipped := case.find("skipped")) is not None:
            # "skipped - <reason>" when the spec called Skip, plain "skipped" when filtered out.
            message = skipped.get("message", "").removeprefix("skipped").lstrip(" -")
            return cls(name, Outcome.SKIPPED, message, selected=bool(message))
        return cls(name, Outcome.PASSED if status in ("passed", "") else Outcome.FAILED, status)


@dataclass(frozen=True, slots=True)
class Report:
    """All specs of one run, and failures outside of any spec (suite setup)."""

    specs: tuple[Spec, ...]
    outside: tuple[Spec, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """
        Raises:
            UnreadableReport: no such file, or something else.
        """
        try:
            cases = list(ET.parse(path).getroot().iter("testcase"))
        except (OSError, ET.ParseError) as error:
            raise UnreadableReport(f"{path}: {error}: critest ended before it wrote its report") from error
        specs = [Spec.of_case(case) for case in cases if case.get("name", "").startswith("[It]")]
        others = [Spec.of_case(case) for case in cases if not case.get("name", "").startswith("[It]")]
        return cls(tuple(specs), tuple(one for one in others if one.outcome is Outcome.FAILED))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A run held against the expected skips; ``lines`` end with ``N passed, N failed, N skipped``."""

    good: bool
    lines: tuple[str, ...]


def judge(report: Report, expected: Sequence[Skip], left_out: str = "", focus: str = "") -> Verdict:
    """Say what happened, spec by spec where it did not pass.

    ``left_out`` is the expression that was handed to ginkgo's skip: what it matches was not run on purpose
    and counts as skipped, with the reason in ``expected``. What ``focus`` does not find counts as nothing.
    """
    lines: list[str] = []
    passed = [spec for spec in report.specs if spec.outcome is Outcome.PASSED]
    failed = [spec for spec in report.specs if spec.outcome is Outcome.FAILED] + list(report.outside)
    skipped = [spec for spec in report.specs if _was_skipped(spec, left_out, focus)]
    unexpected = 0
    for spec in sorted(skipped, key=lambda spec: spec.name):
        reason = next((skip.reason for skip in expected if skip.matches(spec.name)), None)
        unexpected += reason is None
        said = f" ({spec.message})" if spec.message else ""
        lines.append(
            f"skipped: {spec.name}: {reason}{said}" if reason else f"UNEXPECTED SKIP: {spec.name}{said}"
        )
    for spec in passed:
        if stale := next((skip for skip in expected if skip.matches(spec.name)), None):
            lines.append(f"passed although a skip was expected ({stale.reason}): {spec.name}")
    for spec in failed:
        lines.append(f"FAILED: {spec.name}")
        lines += [f"    {line}" for line in essence(spec.message)[:MESSAGE_LINES]]
    nothing = not passed and not failed and not skipped
    if nothing:
        lines.append("no spec ran: does FOCUS match any?")
    lines.append(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    return Verdict(good=not failed and not unexpected and not nothing, lines=tuple(lines))


def essence(message: str) -> list[str]:
    """The message's lines without Go's dumps of nested structures; where it happened stays."""
    lines: list[str] = []
    depth = 0
    for line in message.splitlines():
        depth += line.count("{") - line.count("}")
        shown = depth <= 0 and line.strip() not in ("}", "},")
        if line.strip() and line not in lines and (shown or " at: " in line):
            lines.append(line)
    return lines


def _was_skipped(spec: Spec, left_out: str, focus: str) -> bool:
    if spec.outcome is not Outcome.SKIPPED:
        return False
    return spec.selected or bool(left_out and re.search(left_out, spec.name) and re.search(focus, spec.name))
