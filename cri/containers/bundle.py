"""A container's bundle: everything gathered for spec generation, and config.json written.

<runroot>/containers/<id>/config.json   the runtime-spec document; its root.path is the mounted overlay
                         files/passwd, group  only when the image's lack the container's user or group
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from api.errors import FailedPrecondition
from api.runtime.v1 import api_pb2 as pb
from cri import apparmor, reach, spec_file, translate
from cri.containers import (
    accounts,
    declared_volumes,
    devices,
    image_volumes,
    mount_targets,
    mounts,
    prepared_mounts,
)
from cri.containers.outcome import Expected
from cri.containers.record import Container
from cri.defaults import with_localhost_profile
from cri.node import Node
from cri.sandboxes import cgroup, files
from cri.sandboxes.idmaps import id_mappings
from cri.sandboxes.record import Sandbox
from host import mounts as mounts_of_host
from host.files import remove_tree
from oci import hostview
from oci.generate.container import generate
from oci.generate.inputs import (
    ContainerInput,
    Identity,
    ImageDefaults,
    SandboxView,
    SecurityContext,
)
from oci.generate.labels import mount_label_of, process_label_of
from storage.catalogue import Image


class Written(NamedTuple):
    """What a bundle was written for."""

    user: tuple[int, int, tuple[int, ...]]  # uid, gid and groups of the process
    expected: Expected


class TargetNotRunning(FailedPrecondition):
    """The container whose PID namespace is asked for does not run in this pod."""


def write(
    node: Node,
    container: Container,
    sandbox: Sandbox,
    image: Image,
    volume_images: Mapping[int, Image],
    rootfs: Path,
) -> Written:
    """Make the bundle.

    Blocks for file operations on volumes too, for ever when one hangs: call it by ``Node.volume_threads``.
    ``volume_images`` are those of the request's image volumes, by the number of their mount.

    Raises:
        BadContainer, BadMount, TargetNotRunning: a field of the request cannot be honoured.
    """
    directory = node.paths.container(container.id)
    directory.mkdir(mode=0o700)
    if sandbox.has_user_namespace:
        rootfs = reach.attach(node.paths, container.id, rootfs, sandbox.root_ids[1])
    security = translate.container_security(container.config.linux)
    who, completed = node.accounts.resolve(rootfs, security, image.user, directory, sandbox.root_ids)
    account_files = {**completed, "containerenv": _containerenv(directory, sandbox.root_ids)}
    described = _input(node, container, sandbox, image, rootfs, security, who, account_files)
    described = _with_mounts(node, container, sandbox, described, volume_images)
    document = generate(
        described, node.host, node.handlers.view(container.handler), hostview.observe(described)
    )
    apparmor.require_loaded(document, described.defaults.apparmor_profile)
    devices.add_cdi(document, container.config, node.config.runtime.cdi_spec_dirs)
    mount_targets.check(document, rootfs, _whole_proc(described))
    spec_file.write(node, container.handler, directory, document)
    return Written((who.uid, who.gid, who.additional_gids), _expected(document))


def _expected(document: Mapping[str, Any]) -> Expected:
    return Expected(
        masked=document["linux"].get("maskedPaths", ()),
        is_proc_its_own=all(
            mount["destination"] != mount_targets.PROC or mount["type"] == "proc"
            for mount in document["mounts"]
        ),
    )


def _whole_proc(described: ContainerInput) -> set[str]:
    """The sources by which the node's /proc is mounted."""
    asked = [mount for mount in described.mounts if mount.host_path == mount_targets.PROC]
    return {mount.prepared_path or mount.host_path for mount in asked}


def _containerenv(directory: Path, owner: tuple[int, int]) -> Path:
    """The empty file by which programs know that they are in a container."""
    made = directory / "containerenv"
    made.touch()
    os.chown(made, *owner)
    made.chmod(0o444)  # the umask must not decide who may read it
    return made


def remove(directory: Path) -> None:
    """Remove a bundle, whole or in part; one that is gone is fine."""
    mounts_of_host.umount_if_mounted(directory / accounts.FILES)
    remove_tree(directory)


def _input(
    node: Node,
    container: Container,
    sandbox: Sandbox,
    image: Image,
    rootfs: Path,
    security: SecurityContext,
    who: Identity,
    account_files: Mapping[str, Path],
) -> ContainerInput:
    config = container.config
    runtime, defaults = node.config.runtime, node.defaults.of(container.handler)
    return ContainerInput(
        id=container.id,
        sandbox=_sandbox_view(node, sandbox, config),
        rootfs=rootfs,
        cgroups_path=cgroup.oci_path(container.cgroup_path),
        identity=who,
        name=config.metadata.name,
        image=ImageDefaults(
            env=image.config.env,
            entrypoint=image.config.entrypoint,
            cmd=image.config.cmd,
            working_dir=image.config.working_dir,
            user=image.user,
            volumes=image.config.volumes,
        ),
        image_name=container.image_spec().image,
        command=tuple(config.command),
        args=tuple(config.args),
        working_dir=config.working_dir,
        env=translate.environment(config.envs),
        devices=devices.requested(
            config, sandbox.config.annotations, runtime.allowed_devices, defaults.allowed_annotations
        ),
        annotations=dict(config.annotations),
        tty=config.tty,
        security=security,
        resources=translate.resources(config.linux.resources) if config.linux.HasField("resources") else None,
        defaults=with_localhost_profile(defaults, security),
        passwd_file=account_files.get("passwd"),
        group_file=account_files.get("group"),
        containerenv_file=account_files.get("containerenv"),
    )


def _with_mounts(
    node: Node,
    container: Container,
    sandbox: Sandbox,
    described: ContainerInput,
    images: Mapping[int, Image],
) -> ContainerInput:
    """The input with the request's mounts, sources made ready, and the VOLUMEs of the image."""
    volumes = image_volumes.mount_all(node, container, images)
    must_exist = node.config.runtime.absent_mount_sources_to_reject
    resolved = mounts.resolve(container.config.mounts, must_exist, volumes)
    declared = declared_volumes.prepare(
        node,
        container,
        described.image.volumes,
        described.rootfs,
        (described.identity.uid, described.identity.gid),
    )
    return replace(
        described,
        mounts=prepared_mounts.prepare(node, container, sandbox, resolved),
        volumes=prepared_mounts.prepare(node, container, sandbox, declared),
    )


def _sandbox_view(node: Node, sandbox: Sandbox, config: pb.ContainerConfig) -> SandboxView:
    directory = node.paths.sandbox(sandbox.id)
    pod_files = files.place(directory)
    metadata = sandbox.config.metadata
    has_shm = sandbox.options.ipc != pb.NODE
    uids, gids = id_mappings(sandbox)
    pod = translate.sandbox_security_context(sandbox.config.linux.security_context)
    label = process_label_of(pod.selinux)
    return SandboxView(
        id=sandbox.id,
        namespaces=sandbox.oci_namespaces(),
        pause_pid=sandbox.pause_pid or None,
        target_pid=_target_pid(node, sandbox, config.linux.security_context.namespace_options),
        hostname=files.hostname_of(sandbox.id, sandbox.config),
        shm_path=directory / "shm" if has_shm else Path("/dev/shm"),
        resolv_conf=pod_files / "resolv.conf",
        hostname_file=pod_files / "hostname",
        cgroup_parent=sandbox.cgroup_parent,
        uid_mappings=uids,
        gid_mappings=gids,
        selinux_process_label=label,
        selinux_mount_label=mount_label_of(label),
        name=metadata.name,
        namespace=metadata.namespace,
        uid=metadata.uid,
    )


def _target_pid(node: Node, sandbox: Sandbox, options: pb.NamespaceOption) -> int | None:
    if options.pid != pb.TARGET:
        return None
    target = node.containers.find(options.target_id)
    if target is None or target.sandbox_id != sandbox.id or not target.alive or not target.pid:
        raise TargetNotRunning(
            f"namespace_options.target_id {options.target_id!r}: no container with this id runs in the pod"
        )
    return target.pid


def process_of(node: Node, container: Container) -> Mapping[str, object]:
    """The process object that the container was created with."""
    process: Mapping[str, object] = spec_file.read(node.paths.container(container.id))["process"]
    return process
