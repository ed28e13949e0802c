"""A finding: how bad, about what, in plain words, and the way out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from api.errors import PodwrightError
from cri.cli.output import reason


class Level(StrEnum):
    """FAILS means that pods cannot run; a warning, that something they may ask for will not work."""

    OK = "ok"
    WARNING = "warning"
    FAILS = "FAILS"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; ``way_out`` is a command or an advice, empty when there is none."""

    level: Level
    subject: str
    text: str
    way_out: str = ""

    def __str__(self) -> str:
        way_out = f" -> {self.way_out}" if self.way_out else ""
        return f"{self.level:<8} {self.subject}: {self.text}{way_out}"

    def fields(self) -> dict[str, str]:
        """For programs."""
        return {"level": str(self.level), "subject": self.subject, "text": self.text, "way_out": self.way_out}


def ok(subject: str, text: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, subject, text)


def warning(subject: str, text: str, way_out: str = "") -> Finding:
    """Something will not work, but pods run."""
    return Finding(Level.WARNING, subject, text, way_out)


def fails(subject: str, text: str, way_out: str = "") -> Finding:
    """Pods cannot run."""
    return Finding(Level.FAILS, subject, text, way_out)


def guarded(subject: str, examined: Iterable[Finding]) -> Iterator[Finding]:
    """What an examination finds; one that fails is a finding itself, and the others go on."""
    try:
        yield from examined
    except OSError as error:
        yield warning(subject, f"could not be examined: {reason(error)}")
    except PodwrightError as error:
        yield warning(subject, f"could not be examined: {error}")


def verdict(findings: Iterable[Finding]) -> str:
    """The report's last line."""
    count = sum(finding.level is Level.FAILS for finding in findings)
    if count == 0:
        return "Pods can run on this host."
    return f"Pods cannot run on this host; what FAILS above ({count}) is the reason."
