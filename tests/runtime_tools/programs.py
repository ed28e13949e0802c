"""The validation programs of opencontainers/runtime-tools, built from the Go module that go.mod here pins."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

from tests.critest.toolchain import BUILD_TIMEOUT_S, ToolchainFailed, find_go, pinned_version, version_line
from tests.harness.cache import PROJECT, cached, key_of

RUNTIME_TOOLS = "github.com/opencontainers/runtime-tools"
MODULE = PROJECT / "tests/runtime_tools/tools"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def programs_directory() -> Path:
    """Where the programs lie, beside runtimetest, which runs inside of the containers, and the archive of
    their root file system; built now if they are not there.

    Raises:
        ToolchainFailed: they cannot be built.
    """
    go = find_go()
    parts = [(MODULE / name).read_bytes() for name in ("go.mod", "go.sum")]
    return cached("runtime-tools", key_of(version_line(go), *parts), lambda target: _build(go, target))


def release() -> str:
    """The version that is built."""
    return pinned_version((MODULE / "go.mod").read_text(), RUNTIME_TOOLS)


def _build(go: Path, target: Path) -> None:
    print(f"building {RUNTIME_TOOLS} {release()}: once, takes some minutes", flush=True)
    build = ["build", "-trimpath", "-ldflags=-s -w", "-o", f"{target}/"]
    packages = [f"{RUNTIME_TOOLS}/validation/...", f"{RUNTIME_TOOLS}/cmd/runtimetest"]
    _go(go, *build, *packages)
    module = Path(_go(go, "list", "-m", "-f", "{{.Dir}}", RUNTIME_TOOLS).strip())
    shutil.copy(module / rootfs_name(), target / rootfs_name())


def rootfs_name() -> str:
    """The archive of busybox that the programs unpack."""
    return f"rootfs-{_ARCHITECTURES.get(platform.machine(), platform.machine())}.tar.gz"


def _go(go: Path, *words: str) -> str:
    environment = {**os.environ, "GOFLAGS": "-buildvcs=false -mod=readonly", "CGO_ENABLED": "0"}
    line = ["nice", "-n", "19", str(go), *words]
    done = subprocess.run(
        line,
        cwd=MODULE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise ToolchainFailed(f"{' '.join(line)}: exit code {done.returncode}\n{done.stderr[-2000:].strip()}")
    return done.stdout
