"""What pytest inside a guest reports, as JUnit."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Results:
    """The names of tests by what came of them; a failed one is followed by its message."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file that ``pytest --junit-xml`` wrote."""
        passed, failed, skipped = [], [], []
        for case in ET.parse(path).getroot().iter("testcase"):
            name = f"{case.get('classname')}::{case.get('name')}"
            problem = next(
                (case.find(tag) for tag in ("failure", "error") if case.find(tag) is not None), None
            )
            if problem is not None:
                failed.append(f"{name}: {problem.get('message')}")
            elif case.find("skipped") is not None:
                skipped.append(name)
            else:
                passed.append(name)
        return cls(tuple(passed), tuple(failed), tuple(skipped))
