"""`make critest`: the suite of cri-tools against a fresh daemon, in namespaces of its own.

What needs the network (tools, packages) is fetched before the private namespace is entered. By environment
variables: FOCUS and SKIP (regular expressions), CONFORMANCE=1 (the specs marked so), HANDLER (crun, unless
told runc or podwright), PARALLEL (workers), ARGS (further flags of critest), JUNIT (where the report goes),
ENDPOINT (a runtime that already runs, in place of ours; its default handler, unless HANDLER is given).
"""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.critest.expected import Skip, expected_skips
from tests.critest.images import registry_directory
from tests.critest.report import Report, UnreadableReport, judge
from tests.critest.toolchain import ToolchainFailed, ensure_tool
from tests.harness import private
from tests.harness.cache import PROJECT
from tests.harness.daemon import Daemon, DaemonFailed, Settings
from tests.harness.debian import PackagesUnavailable
from tests.harness.patience import patient
from tests.harness.registry import Registry, RegistryFailed

# Ginkgo reports a spec at its end; the longest waits a minute, the suite takes one to two.
SUITE_TIMEOUT_S = 1500
CONFORMANCE = r"\[Conformance\]"


@dataclass(frozen=True, slots=True)
class Request:
    """What to run, read from the environment."""

    focus: str
    skip: str
    handler: str
    parallel: int
    arguments: tuple[str, ...]
    endpoint: str
    junit: Path

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Self:
        """
        Raises:
            ValueError: PARALLEL is no number, or FOCUS or SKIP no regular expression.
        """
        endpoint = env.get("ENDPOINT", "")
        handler = env.get("HANDLER") or ("" if endpoint else "crun")
        focus = env.get("FOCUS") or (CONFORMANCE if env.get("CONFORMANCE") else "")
        skip = env.get("SKIP", "")
        for name, text in (("FOCUS", focus), ("SKIP", skip)):
            try:
                re.compile(text)
            except re.error as error:
                raise ValueError(f"{name}={text!r} is no regular expression: {error}") from error
        parallel = env.get("PARALLEL") or "1"
        if not parallel.isdecimal() or int(parallel) < 1:
            raise ValueError(f"PARALLEL={parallel!r}: a number of workers, 1 or more, is meant")
        return cls(
            focus=focus,
            skip=skip,
            handler=handler,
            parallel=int(parallel),
            arguments=tuple(shlex.split(env.get("ARGS", ""))),
            endpoint=endpoint,
            junit=Path(env.get("JUNIT") or PROJECT / f"build/critest-{handler or 'default'}.xml").absolute(),
        )

    def left_out(self, skips: tuple[Skip, ...]) -> str:
        """One expression for all that ginkgo is told to leave out."""
        patterns = [skip.pattern for skip in skips if skip.by_us] + ([self.skip] if self.skip else [])
        return "|".join(f"({pattern})" for pattern in patterns)

    def command(self, critest: Path, endpoint: str, left_out: str) -> list[str]:
        """critest's command line."""
        line = [
            str(critest),
            f"-runtime-endpoint={endpoint}",
            f"-runtime-handler={self.handler}",
            f"-ginkgo.junit-report={self.junit}",
            f"-ginkgo.skip={left_out}",
            "-ginkgo.no-color",
        ]
        if self.focus:
            line.append(f"-ginkgo.focus={self.focus}")
        # Only when asked: go test has a flag of this name, and ginkgo refuses to run when that is set.
        if self.parallel > 1:
            line.append(f"-parallel={self.parallel}")
        return [*line, *self.arguments]


def main() -> int:
    try:
        request = Request.of(os.environ)
        critest, ginkgo = ensure_tool("critest"), ensure_tool("ginkgo")
        images = registry_directory()
        if not os.environ.get(private.INSIDE):
            return private.main([sys.executable, "-m", "tests.critest.run"])
        with runtime(request, images) as endpoint:
            return conduct(request, critest, ginkgo, endpoint)
    except (ToolchainFailed, PackagesUnavailable, RegistryFailed, DaemonFailed, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


@contextlib.contextmanager
def runtime(request: Request, images: Path) -> Iterator[str]:
    """The endpoint under test: a fresh daemon that finds the images in a loopback registry, or ENDPOINT."""
    if request.endpoint:
        yield request.endpoint
        return
    with Registry(images, readonly=True) as registry:
        settings = Settings(handler=request.handler, registries_conf=registry.registries_conf())
        with Daemon(settings) as daemon:
            print(f"critest against Podwright with {request.handler}, log: {daemon_log(request)}", flush=True)
            try:
                yield daemon.endpoint
            finally:
                daemon_log(request).parent.mkdir(parents=True, exist_ok=True)
                daemon_log(request).write_text(daemon.log())


def daemon_log(request: Request) -> Path:
    """Where the daemon's log is kept for reading after the run."""
    return request.junit.with_suffix(".daemon.log")


def conduct(request: Request, critest: Path, ginkgo: Path, endpoint: str) -> int:
    """Run the suite and print the verdict; 0 if all is as it should be."""
    skips = expected_skips()
    left_out = request.left_out(skips)
    request.junit.parent.mkdir(parents=True, exist_ok=True)
    request.junit.unlink(missing_ok=True)
    output = request.junit.with_suffix(".log")
    env = {**os.environ, "PATH": f"{ginkgo.parent}:{os.environ['PATH']}"}
    with output.open("wb") as log:
        suite = subprocess.Popen(
            request.command(critest, endpoint, left_out),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
        )
        try:
            code = suite.wait(patient(SUITE_TIMEOUT_S))
        finally:
            suite.kill()
    try:
        report = Report.read(request.junit)
    except UnreadableReport as error:
        print(output.read_text(errors="replace")[-3000:])
        print(error)
        return 1
    extra = (Skip(request.skip, "left out by SKIP"),) if request.skip else ()
    verdict = judge(report, (*skips, *extra), left_out, request.focus)
    if code and verdict.good:
        print(f"critest ended with {code} although no spec failed; the end of {output}:")
        print(output.read_text(errors="replace")[-2000:])
    print(f"full output: {output}, JUnit: {request.junit}")
    print("\n".join(verdict.lines), flush=True)
    return 0 if verdict.good and not code else 1


if __name__ == "__main__":
    sys.exit(main())
