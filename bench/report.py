"""Medians side by side, and how far they can be trusted."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.parts import Samples


def table(samples: Mapping[str, Samples], names: Sequence[str]) -> str:
    """Markdown: a row a measure, a column a target; the ratio is the first target's to each other's.

    Behind each median, in parentheses, half the distance between the quartiles: of differences below
    that nothing is known.
    """
    ratios = [f"{names[0]} / {name}" for name in names[1:]]
    lines = [
        "| measure | " + " | ".join([*names, *ratios]) + " |",
        "|---" * (1 + len(names) + len(ratios)) + "|",
    ]
    for part, found in samples.items():
        lines.append(f"| **{part}** " + "| " * (len(names) + len(ratios)) + "|")
        for measure, by_target in found.values.items():
            medians = {name: statistics.median(by_target[name]) for name in names if by_target.get(name)}
            cells = [_cell(by_target.get(name, [])) for name in names]
            cells += [_ratio(medians.get(names[0]), medians.get(name)) for name in names[1:]]
            lines.append(f"| {measure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    middle = statistics.median(values)
    if len(values) < 4:
        return _number(middle)
    low, _, high = statistics.quantiles(values, n=4)
    return f"{_number(middle)} ({_number((high - low) / 2)})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _ratio(one: float | None, other: float | None) -> str:
    return "-" if one is None or not other else f"{one / other:.2f}"


def write(
    path: Path, samples: Mapping[str, Samples], names: Sequence[str], about: Mapping[str, object]
) -> None:
    """Everything as JSON, and the table beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    results = {part: found.values for part, found in samples.items()}
    path.write_text(json.dumps({"about": about, "targets": list(names), "results": results}, indent=1) + "\n")
    path.with_suffix(".md").write_text(table(samples, names) + "\n")
