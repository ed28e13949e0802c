"""``podwright check``: what will and will not work on this host; exit code 1 if pods cannot run."""

import argparse
import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from conf.schema import Config
from cri.cli.arguments import load_configuration
from cri.cli.examine import cgroups, daemon, files, images, kernel, options, places, programs, records
from cri.cli.examine.findings import Finding, Level, guarded, verdict, warning
from cri.cli.ops import daemon_info
from cri.cli.output import GREEN, RED, YELLOW, show, warn
from host.cgroups import Hierarchy
from host.environment import of_helpers
from host.lines import read_table
from host.mounts import fsconfig_set, fsopen, parse_mountinfo
from host.namespaces import in_new_thread, set_namespace, unshare_file_attributes

VERSION_TIMEOUT_S = 10
_COLOURS = {str(Level.OK): GREEN, str(Level.WARNING): YELLOW, str(Level.FAILS): RED}


def run(arguments: argparse.Namespace) -> int:
    """Examine the host with the configuration that the command line gives."""
    if arguments.crio or arguments.age or (arguments.repair and not arguments.storage):
        warn("images are examined here, and layers by --storage; the daemon repairs them when it starts")
    loaded = load_configuration(arguments)
    if arguments.storage:
        from cri.cli.image_store import check  # the store is large; the other examinations do without

        return int(check(loaded.config, arguments.output, repair=arguments.repair))
    findings = [*(warning("configuration", text) for text in loaded.warnings), *examine(loaded.config)]
    fails = any(finding.level is Level.FAILS for finding in findings)
    document = {"ok": not fails, "findings": [finding.fields() for finding in findings]}
    show(arguments.output, document, [*map(str, findings), verdict(findings)], _COLOURS)
    return int(fails)


def examine(config: Config) -> Iterator[Finding]:
    """All examinations of the real host; starts each runtime for its version and changes nothing."""
    proc = Path("/proc")
    mountinfo = read_table(proc / "self/mountinfo")
    binaries = programs.runtime_binaries(config.runtime, shutil.which)
    default = binaries.get(programs.default_handler(config.runtime, binaries)) or ""
    hierarchy = Hierarchy.detect(mountinfo)
    examined = {
        "kernel": kernel.kernel(os.uname().release),
        "capabilities": kernel.privileges((proc / "self/status").read_text()),
        "root": kernel.root(in_chroot),
        "cgroups": cgroups.cgroups(hierarchy, read_table(proc / "self/cgroup"), Path(default).name),
        "cgroup_manager": iter([cgroups.driver(config.runtime.cgroup_manager, hierarchy, systemd_version)]),
        "overlay": kernel.overlay((proc / "filesystems").read_text(), add_overlay_layer),
        "runtime": programs.runtimes(config.runtime, binaries, first_line_of_version),
        "network": programs.network(config.network),
        "nft": programs.nft(shutil.which),
        "seccomp": kernel.seccomp(),
        "security modules": kernel.security_modules(),
        "directories": places.directories(config),
        "file systems": places.filesystems(config, parse_mountinfo(mountinfo)),
        "listen": places.listener(config.api.listen),
        "daemon": daemon.troubles(lambda: daemon_info(str(config.api.listen))),
        "disk": places.disk(config),
        "podwright-streaming": options.streaming_process(),
        "images": images.images(config.root),
        "records": records.records(config.runroot),
        **options.options(config, os.uname().machine),
        **files.files(config),
    }
    for subject, findings in examined.items():
        yield from guarded(subject, findings)


def systemd_version() -> str:
    """What systemd says over the system bus.

    Raises:
        PodwrightError: It says nothing.
    """
    from cri.systemd.manager import Manager  # D-Bus costs other machines time to import

    async def ask() -> str:
        units = Manager(timeout_s=VERSION_TIMEOUT_S)
        try:
            return await units.version()
        finally:
            await units.close()

    return asyncio.run(ask())


def first_line_of_version(path: str) -> str:
    """What a runtime says first to --version.

    Raises:
        OSError: It cannot be run, fails or does not end.
    """
    try:
        done = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=True,
            env=of_helpers(os.environ),
            umask=0o022,
        )
    except subprocess.SubprocessError as error:
        raise OSError(str(error)) from error
    return next(iter(done.stdout.splitlines()), "no version")


def in_chroot() -> bool:
    """Whether our / is another than the root of our mount namespace, where setns(2) leads.

    Raises:
        OSError: We may not look.
    """

    def look() -> int:
        unshare_file_attributes()  # a thread that shares its root may not change the mount namespace
        set_namespace(own)
        return os.open("/", os.O_PATH | os.O_CLOEXEC)

    with contextlib.ExitStack() as opened:
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        opened.callback(os.close, own)
        ours = os.open("/", os.O_PATH | os.O_CLOEXEC)
        opened.callback(os.close, ours)
        roots = in_new_thread(look)
        opened.callback(os.close, roots)
        return _place(ours) != _place(roots)


def _place(descriptor: int) -> tuple[int, int, str]:
    """Device, inode and mount: one directory may be mounted in many places."""
    stat = os.fstat(descriptor)
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    return stat.st_dev, stat.st_ino, next(line for line in lines if line.startswith("mnt_id:"))


def add_overlay_layer() -> None:
    """Add a layer to an overlay that is never mounted.

    Raises:
        OSError: The kernel has no such call or key, or we may not use it.
    """
    with tempfile.TemporaryDirectory() as layer:
        context = fsopen("overlay")
        try:
            fsconfig_set(context, "lowerdir+", layer)
        finally:
            os.close(context)
