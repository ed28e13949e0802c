"""The pause process: PID 1 of a pod whose containers share their PID namespace.

Other pods need none, for their namespaces are pinned files, unless ``drop_infra_ctr = false`` asks
for it or the runtime keeps its sandbox in it (gVisor). The program is built in; a configured
``pause_image`` is pulled when it is missing.
"""

import asyncio
import contextlib
import shlex
import signal
from pathlib import Path

from api.ids import ContainerId
from api.runtime.v1 import api_pb2 as pb
from cri import apparmor, reach, spec_file, translate
from cri.cgroups.clear import clear
from cri.defaults import with_localhost_profile
from cri.forget import forget
from cri.node import Node
from cri.sandboxes.cgroup import oci_path, pause_cgroup
from cri.sandboxes.idmaps import id_mappings
from cri.sandboxes.record import Sandbox
from oci.cli import Kind
from oci.generate import pause as spec
from oci.generate.inputs import PauseInput
from oci.generate.labels import mount_label_of, process_label_of
from oci.monitor.types import CreateContainer, NotLive, UnknownContainer
from oci.pause import PROGRAM_PATH


def needed(node: Node, sandbox: Sandbox) -> bool:
    """Whether this pod must have a pause process."""
    is_gvisor = node.handlers.get(sandbox.runtime).kind is Kind.RUNSC
    return sandbox.options.pid == pb.POD or not node.config.runtime.drop_infra_ctr or is_gvisor


async def start(node: Node, sandbox: Sandbox, directory: Path) -> int:
    """Create and start it; its pid."""
    bundle = directory / "pause"
    bundle.mkdir(mode=0o700)  # tells end() that there is something to give back
    rootfs, arguments = await _program(node, sandbox)
    await asyncio.to_thread(_write_bundle, node, sandbox, bundle, rootfs, arguments)
    identifier = ContainerId(sandbox.id)
    runtime = node.handlers.get(sandbox.runtime)
    created = await node.monitor.create(CreateContainer(id=identifier, runtime=runtime, bundle=bundle))
    sandbox.pause_pid = created.pid
    await asyncio.to_thread(reach.detach, node.paths, sandbox.id)
    await node.monitor.start(identifier, runtime, node.config.runtime.runtime_command_timeout_s)
    return created.pid


async def _program(node: Node, sandbox: Sandbox) -> tuple[Path, tuple[str, ...]]:
    """The root file system and the command: built in, or from the configured image."""
    reference = node.config.image.pause_image
    if not reference:
        return node.paths.pause_rootfs, (PROGRAM_PATH,)
    image = node.images.find(reference)
    if image is None or image.fault:
        own = node.config.image.pause_image_auth_file
        image = await node.images.pull(reference, auth_files=None if own is None else (own,))
    rootfs = await node.rootfs.prepare(ContainerId(sandbox.id), image, sandbox.namespaces.get("user"))
    command = tuple(shlex.split(node.config.image.pause_command))
    return rootfs, command or (*image.config.entrypoint, *image.config.cmd)


def _write_bundle(
    node: Node, sandbox: Sandbox, bundle: Path, rootfs: Path, arguments: tuple[str, ...]
) -> None:
    if sandbox.has_user_namespace:
        rootfs = reach.attach(node.paths, sandbox.id, rootfs, sandbox.root_ids[1])
    security = translate.sandbox_security_context(sandbox.config.linux.security_context)
    uids, gids = id_mappings(sandbox)
    label = process_label_of(security.selinux)
    described = PauseInput(
        id=sandbox.id,
        rootfs=rootfs,
        cgroups_path=oci_path(pause_cgroup(sandbox)),
        args=arguments,
        namespaces=sandbox.oci_namespaces(),
        uid_mappings=uids,
        gid_mappings=gids,
        security=security,
        defaults=with_localhost_profile(node.defaults.of(sandbox.runtime), security),
        annotations=dict(sandbox.config.annotations),
        selinux_process_label=label,
        selinux_mount_label=mount_label_of(label),
    )
    document = spec.generate(described, node.host)
    apparmor.require_loaded(document, described.defaults.apparmor_profile)
    spec_file.write(node, sandbox.runtime, bundle, document)


async def end(node: Node, sandbox: Sandbox) -> None:
    """End it and delete what the runtime keeps; one that is gone or never was is fine."""
    identifier = ContainerId(sandbox.id)
    with contextlib.suppress(UnknownContainer, NotLive):
        await node.monitor.signal(identifier, signal.SIGKILL)
    if not (node.paths.sandbox(sandbox.id) / "pause").exists():
        return
    await node.handlers.get(sandbox.runtime).delete(sandbox.id, force=True)
    await forget(node, identifier)
    await clear(node.cgroup_driver, node.cgroups, pause_cgroup(sandbox))
    await asyncio.to_thread(reach.remove, node.paths, sandbox.id)
    await node.rootfs.remove(identifier)  # the image may have been configured then and not be now
    sandbox.pause_pid = 0
