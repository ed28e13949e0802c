"""Guests for tests: each brings its results to build/node/<name>, with the log of its console."""

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.harness.cache import PROJECT
from tests.node.image import image
from tests.node.machine import End, Machine, Outcome, show_on_stdout
from tests.node.package import package
from tests.node.results import Results

PACKAGE = Path("/root/podwright.deb")
INSTALL = ". tests/node/inside/install.sh"
# For whoever reads what a failed test has left.
LOGS = "journalctl --no-pager >$RESULTS/journal.log"


class Guest:
    """A machine that tests of one module share, with the package at hand."""

    def __init__(self, machine: Machine, results: Path) -> None:
        self.machine = machine
        self.results = results

    def run(
        self,
        script: str,
        *,
        timeout_s: float,
        name: str = "",
        end: End = End.QUICK,
        additions: Mapping[Path, Path] | None = None,
    ) -> Outcome:
        """Boot and run ``script``; results, output and console are in ``build/node/<module>/<name>``.

        ``additions``: what to lay into the guest beside the package: host paths and where they go.
        """
        directory = self.results / name
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "output.log").open("wb") as output:

            def show(data: bytes) -> None:
                output.write(data)
                output.flush()
                show_on_stdout(data)

            try:
                return self.machine.boot(
                    script,
                    timeout_s=timeout_s,
                    additions={package(): PACKAGE, **(additions or {})},
                    results=directory,
                    show=show,
                    end=end,
                )
            finally:
                if self.machine.console.exists():
                    (directory / "console.log").write_bytes(self.machine.console.read_bytes())

    def pytest(
        self,
        tests: str,
        *,
        timeout_s: float,
        prelude: str = INSTALL,
        name: str = "",
        end: End = End.QUICK,
    ) -> Results:
        """Run tests of ours inside, after ``prelude``; what came of them."""
        junit = self.results / name / "junit.xml"
        junit.unlink(missing_ok=True)
        line = f".venv/bin/python -m pytest -rP -p no:cacheprovider --junit-xml=$RESULTS/junit.xml {tests}"
        script = "\n".join((prelude, line, "code=$?", LOGS, "exit $code"))
        outcome = self.run(script, timeout_s=timeout_s, name=name, end=end)
        assert junit.exists(), outcome.output[-4000:]
        results = Results.read(junit)
        assert outcome.code == 0 or results.failed, outcome.output[-4000:]
        return results


def pytest_sessionstart() -> None:
    """SIGTERM ends a run as Ctrl-C does: guests and their files go."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    """A fresh one, of which only the results stay."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    with Machine(image()) as machine:
        yield Guest(machine, PROJECT / "build/node" / name)
