"""Podwright beside Debian's containerd, or two revisions of Podwright, in one run and in turns.

    python -m bench.run [--compare REVISION] [--parts start,verbs,standing,images] [--rounds 20] [--pods 50]

As root, in network, mount and process namespaces of its own. All run the same crun on the same kind of CNI
network. Prints a table and writes build/bench.json and build/bench.md.
"""

import argparse
import fcntl
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import report
from bench.parts import BUSYBOX_IMAGE, FILES_IMAGE, PARTS, Samples, Size, pull
from bench.targets import PAUSE_IMAGE, TOP, Containerd, Podwright, Target, busy_s, checkout, forget
from host.cgroups import Hierarchy
from oci import pause
from tests.harness import private
from tests.harness.cache import PROJECT
from tests.harness.images import Entry, Image, Layer
from tests.harness.registry import Registry
from tests.harness.runs import scratch
from tools.demo import busybox_image

# Two runs would disturb one another's timing.
LOCK = Path("/var/tmp/podwright-bench.lock")
OWN = "podwright"
LAYERS, FILES_A_LAYER = 10, 3000


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    private.go_inside("bench.run", arguments)
    with LOCK.open("w") as lock, ExitStack() as stack:
        fcntl.flock(lock, fcntl.LOCK_EX)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch())))
        registry = stack.enter_context(Registry(directory / "registry"))
        push(registry, files="images" in options.parts)
        stack.callback(Hierarchy.detect().remove, TOP)
        targets = [stack.enter_context(target) for target in make(options, stack, registry, directory)]
        for target in targets:
            for image in (PAUSE_IMAGE, BUSYBOX_IMAGE):
                pull(target, image)
        measure(options, targets)
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Podwright side by side with another.")
    parser.add_argument(
        "--compare", metavar="REVISION", help="with this revision of Podwright, not containerd"
    )
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=20, help="of one pod at a time, and of questions")
    parser.add_argument("--pods", type=int, default=50, help="that stand while others are measured")
    parser.add_argument("--restarts", type=int, default=6)
    parser.add_argument("--pulls", type=int, default=3)
    parser.add_argument("--out", type=Path, default=PROJECT / "build/bench.json")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    return options


def make(options: argparse.Namespace, stack: ExitStack, registry: Registry, directory: Path) -> list[Target]:
    """Ours and what it is compared with."""
    own = Podwright(OWN, 0, registry, PROJECT)
    if options.compare is None:
        return [own, Containerd("containerd", 1, registry)]
    tree = checkout(options.compare, directory)
    stack.callback(forget, tree)
    return [own, Podwright(options.compare[:12], 1, registry, tree)]


def push(registry: Registry, *, files: bool) -> None:
    """The images of the pods, and one of many files."""
    program = Entry("pause", pause.build(platform.machine()))
    registry.push(Image([Layer.of([program])], {"Entrypoint": ["/pause"]}), PAUSE_IMAGE)
    registry.push(busybox_image(), BUSYBOX_IMAGE)
    if files:
        layers = [Layer.of(_small_files(number)) for number in range(LAYERS)]
        registry.push(Image(layers, {}), FILES_IMAGE)


def _small_files(layer: int) -> list[Entry]:
    entries = []
    for directory in range(FILES_A_LAYER // 100):
        place = f"usr/lib/layer{layer}/directory{directory}"
        entries.append(Entry(place))
        entries += [
            Entry(f"{place}/file{number}", f"{layer} {directory} {number}\n".encode() * (number * 5), 0o644)
            for number in range(100)
        ]
    return entries


def measure(options: argparse.Namespace, targets: Sequence[Target]) -> None:
    """Run the parts; tell and keep what is known after each."""
    size = Size(options.rounds, options.pods, options.restarts, options.pulls)
    names = [target.name for target in targets]
    samples: dict[str, Samples] = {}
    about: dict[str, object] = {
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "crun": shutil.which("crun"),
    }
    noise: dict[str, float] = {}
    about["share of the CPU that others took"] = noise
    for part in options.parts:
        print(f"measuring: {part}", file=sys.stderr, flush=True)
        begun, busy, own_ms = time.monotonic(), busy_s(), _own_ms(targets)
        samples[part] = PARTS[part](targets, size)
        foreign_s = busy_s() - busy - (_own_ms(targets) - own_ms) / 1e3
        noise[part] = round(max(0.0, foreign_s) / (time.monotonic() - begun) / (os.cpu_count() or 1), 3)
        report.write(options.out, samples, names, about)
    print(report.table(samples, names))
    print(
        "\nshare of the CPU that others took: "
        + ", ".join(f"{part} {share:.0%}" for part, share in noise.items())
    )


def _own_ms(targets: Sequence[Target]) -> float:
    return sum(target.cpu_ms() for target in targets) + time.process_time() * 1e3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
