"""The tree of an installation: everything below one directory, as it will be on the machine."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from conf.load import DEFAULT_FILE
from conf.sample import sample
from cri.cli import completion
from tools.packaging import environment, manpages
from tools.packaging.layout import CHECKOUT, Layout, below

# With the places that they have in the checkout, so that their links to each other hold.
DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "THREAT_MODEL.md",
    "LICENSE",
    "bench/README.md",
    "docs/*.md",
    "docs/adr/*.md",
    "monitoring/*",
)
KUBELET_DROP_IN = "kubelet.service.d/10-podwright.conf"


def stage(root: Path, layout: Layout, epoch: int, processor: str = "") -> None:
    """Fill the empty directory ``root``; ``epoch`` is the time of every file.

    ``processor``: another one than this machine's, as uname(2) calls it.

    Raises:
        environment.InstallFailed: the dependencies cannot be installed.
    """
    with tempfile.TemporaryDirectory() as wheels:
        options = environment.foreign(processor) if processor else []
        environment.collect_wheels(Path(wheels), options)
        environment.make(root, layout, Path(wheels), options)
    for name in environment.programs():
        _link(root, layout.bindir / name, layout.environment / "bin" / name)
    for path, text in texts(layout, datetime.fromtimestamp(epoch, UTC).date()).items():
        _write(below(root, path), text)
    below(root, layout.environment / "purge").chmod(0o755)
    below(root, layout.configuration).with_name("podwright.conf.d").mkdir()
    _normalise(root, epoch)
    environment.compile_bytecode(root, layout)
    _normalise(root, epoch)


def texts(layout: Layout, day: date) -> Mapping[Path, str]:
    """Every text file outside the environment by its path; what is not copied is generated."""
    systemd, examples = CHECKOUT / "systemd", CHECKOUT / "docs/examples"
    unit = (systemd / "podwright.service.in").read_text().replace("@COMMAND@", _daemon(layout))
    made = {
        layout.configuration: sample(),
        layout.unitdir / "podwright.service": unit,
        layout.completions / "podwright": completion.bash(),
        layout.zsh_functions / "_podwright": completion.zsh(),
        layout.fish_completions / "podwright.fish": completion.fish(),
        layout.environment / "purge": (CHECKOUT / "tools/packaging/purge").read_text(),
    }
    made |= {layout.mandir / f"man{page[-1]}" / page: text for page, text in manpages.pages(day).items()}
    copied = {
        layout.unitdir / KUBELET_DROP_IN: systemd / KUBELET_DROP_IN,
        layout.tmpfiles / "podwright.conf": systemd / "podwright.tmpfiles",
        layout.sysusers / "podwright.conf": systemd / "podwright.sysusers",
    }
    copied |= {layout.docdir / path.relative_to(CHECKOUT): path for path in documents()}
    copied |= {layout.docdir / "examples" / path.name: path for path in sorted(examples.iterdir())}
    return made | {target: source.read_text() for target, source in copied.items()}


def documents() -> list[Path]:
    """What is there to read, in the checkout."""
    return sorted(path for pattern in DOCUMENTS for path in CHECKOUT.glob(pattern))


def _daemon(layout: Layout) -> str:
    """The daemon's command line: it finds its configuration by itself where that is in /etc."""
    command = f"{layout.bindir}/podwright serve"
    if layout.sysconfdir == DEFAULT_FILE.parents[1]:
        return command
    return f"{command} --config {layout.configuration} --config-dir {layout.configuration}.d"


def walk(root: Path) -> Iterator[tuple[Path, bool]]:
    """Each path below ``root`` as it will be on the machine, and if it is a directory; parents first."""
    for directory, names, files in os.walk(root):
        names.sort()
        here = Path("/") / Path(directory).relative_to(root)
        # A link to a directory is listed among the directories, but is a file to us.
        yield from ((here / name, not (Path(directory) / name).is_symlink()) for name in names)
        yield from ((here / name, False) for name in sorted(files))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _link(root: Path, path: Path, target: Path) -> None:
    below(root, path).parent.mkdir(parents=True, exist_ok=True)
    below(root, path).symlink_to(os.path.relpath(target, path.parent))


def _normalise(root: Path, epoch: int) -> None:
    """Modes and times that do not depend on who makes this and when."""
    for path, is_directory in walk(root):
        place = below(root, path)
        if not place.is_symlink():
            # Wheels mark modules as executable that nobody executes.
            executable = place.stat().st_mode & 0o100 and "site-packages" not in path.parts
            place.chmod(0o755 if is_directory or executable else 0o644)
        os.utime(place, (epoch, epoch), follow_symlinks=False)
