"""Hashes of all that goes into an installation: ``make pins`` writes them anew after constraints.txt changed.

    python3 -m tools.packaging.pins

tools/packaging/pins.txt has, for every dependency and for what builds the project, the hashes of its wheels
in the version of constraints.txt, for each Python and processor below. ``make install`` and ``make deb`` take
nothing else: a package index, a mirror or a cache that has other bytes under the name fails the build.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.packaging.layout import CHECKOUT

FILE = CHECKOUT / "tools/packaging/pins.txt"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PROCESSORS = ("x86_64", "aarch64")
# The C library of Debian 12 and 13 takes wheels for all of these; the oldest that anybody builds for is 2.17.
GLIBC_MINORS = range(41, 16, -1)
TIMEOUT_S = 600
HEAD = """\
# Written by `make pins`; see tools/packaging/pins.py. Of each: Python {pythons}, {processors}.
"""


def wanted() -> tuple[str, ...]:
    """What pyproject.toml asks for, to run and to be built."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    return (*project["project"]["dependencies"], *project["build-system"]["requires"])


def requirements(found: Iterable[tuple[str, str, str]]) -> str:
    """The text of a requirements file; ``found`` has name, version and sha256, each maybe several times."""
    hashes: dict[str, set[str]] = {}
    for name, version, digest in found:
        hashes.setdefault(f"{name}=={version}", set()).add(digest)
    entries = []
    for requirement in sorted(hashes, key=str.lower):
        lines = [requirement, *(f"    --hash=sha256:{digest}" for digest in sorted(hashes[requirement]))]
        entries.append(" \\\n".join(lines) + "\n")
    return "".join(entries)


def ask(python: str, processor: str) -> Iterator[tuple[str, str, str]]:
    """What pip would install there: name, version and hash of each wheel."""
    platforms = [f"manylinux_2_{minor}_{processor}" for minor in GLIBC_MINORS]
    platforms += [f"manylinux2014_{processor}", f"linux_{processor}"]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    options = ["--dry-run", "--ignore-installed", "--report", "-", "--target", "unused"]
    options += ["--only-binary", ":all:"]
    options += ["--implementation", "cp", "--python-version", python, "-c", str(CHECKOUT / "constraints.txt")]
    options += [word for platform in platforms for word in ("--platform", platform)]
    done = subprocess.run(
        [*pip, *options, *_for(processor)], stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=True
    )
    for entry in json.loads(done.stdout)["install"]:
        about = entry["metadata"]
        yield about["name"], about["version"], entry["download_info"]["archive_info"]["hashes"]["sha256"]


def _for(processor: str) -> list[str]:
    """Requirements without markers: pip judges those by the machine that it runs on."""
    plain = []
    for requirement in wanted():
        name, _, marker = requirement.partition(";")
        if not marker or processor in marker:
            plain.append(name.strip())
    return plain


def main() -> int:
    """Ask for every Python and processor, and write the file."""
    found = []
    for python in PYTHONS:
        for processor in PROCESSORS:
            print(f"asking for Python {python} on {processor}", file=sys.stderr)
            found += list(ask(python, processor))
    head = HEAD.format(pythons=", ".join(PYTHONS), processors=" and ".join(PROCESSORS))
    Path(FILE).write_text(head + requirements(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
