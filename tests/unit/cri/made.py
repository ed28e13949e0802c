"""A sandbox's and a container's requests driven through the code that serves them, up to where root begins.

What is the kernel's or another program's is replaced: chown, the tmpfs mount, the pinning of namespaces, the
mount table and the node's devices, the mounting of image volumes. Everything else runs as in the daemon.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from api.ids import ContainerId, ImageId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from conf.schema import Config
from cri import apparmor, reach
from cri.cgroups.files import FilesDriver
from cri.containers import bundle, create, image_volumes
from cri.containers import status as container_status
from cri.containers.accounts import Accounts
from cri.containers.record import Container, Phase
from cri.defaults import handler_defaults
from cri.handlers import Handlers
from cri.images import verbs as images
from cri.names import container_name, sandbox_name
from cri.node import Node
from cri.paths import Paths
from cri.sandboxes import files, network, pause, run, validate
from cri.sandboxes import status as sandbox_status
from cri.sandboxes.cgroup import container_cgroup
from cri.sandboxes.record import Sandbox
from cri.store import Store
from host import mounts
from host.cgroups import Hierarchy
from host.namespaces import Kind
from oci import hostview
from oci.cli import CliRuntime
from oci.cli import Kind as RuntimeKind
from oci.generate.inputs import DeviceNode, HostView, MountPoint, RuntimeView
from oci.monitor.places import settle
from storage.catalogue import Image
from storage.manifest import ImageConfig

SANDBOX_ID = SandboxId("5" * 64)
CONTAINER_ID = ContainerId("c" * 64)
TARGET = Container(
    ContainerId("d" * 64), "target", SANDBOX_ID, pb.ContainerConfig(), "", ImageId("sha256:1"), "", 1
)
IMAGE = Image(
    id=ImageId("sha256:" + "1" * 64),
    repo_tags=("registry.example/app:1",),
    repo_digests=("registry.example/app@sha256:" + "2" * 64,),
    size_bytes=1,
    user="",
    config=ImageConfig(env=("FROM=image",), entrypoint=("/entry",), cmd=("image-cmd",), stop_signal="SIGINT"),
    layers=(),
    created=None,
    pinned=False,
)
ACCOUNTS = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\nlist:x:38:38::/var:/bin/sh\n"
GROUPS = b"root:x:0:\napp:x:1000:\nteam:x:70:app\nlist:x:38:\n"
SECCOMP = {"defaultAction": "SCMP_ACT_LOG"}
CDI = {
    "cdiVersion": "0.6.0",
    "kind": "vendor.example/gpu",
    "devices": [{"name": "one", "containerEdits": {"env": ["GPU=one"]}}],
}


class AbleHandlers(Handlers):
    """One runtime, which does all by itself what runtimes can."""

    def view(self, name: str) -> RuntimeView:
        return RuntimeView()


@dataclass(frozen=True)
class Machine:
    """A node below ``directory``, with one image; each request finds it as new."""

    directory: Path
    host: HostView

    def make(
        self, sandbox_config: pb.PodSandboxConfig, container_config: pb.ContainerConfig
    ) -> dict[str, Any]:
        """What comes of the two requests, by who gets it.

        oci, pause     the runtime-spec documents, see ``indexed``; pause {} when the pod has none
        monitor        what the monitor is told beside the bundle
        pinned         the pod's namespaces, and what is set in them
        files          the pod's files by name
        cni            what the network is told
        record         the container as it is stored, without its configuration
        status, pod    ContainerStatus and PodSandboxStatus
        """
        node = self._node()
        validate.sandbox(sandbox_config)
        sandbox = Sandbox(SANDBOX_ID, sandbox_name(sandbox_config.metadata), sandbox_config, "", 1)
        sandbox.runtime = node.handlers.default
        sandbox.cgroup_parent = node.cgroup_driver.parent(sandbox_config.linux.cgroup_parent)
        run._make_files(node, sandbox)
        if sandbox_config.log_directory:
            settle(sandbox_config.log_directory)
        pinned = json.loads((self.directory / "pinned").read_text())
        if pause.needed(node, sandbox):
            self._pause.mkdir()
            pause._write_bundle(node, sandbox, self._pause, node.paths.pause_rootfs, ("/pause",))
            sandbox.pause_pid = 77
        container = self._container(node, sandbox, container_config)
        return {
            "oci": indexed(json.loads((node.paths.container(container.id) / "config.json").read_text())),
            "pause": indexed(json.loads((self._pause / "config.json").read_text()))
            if self._pause.exists()
            else {},
            "monitor": asdict(create._request(node, container, sandbox, container.log_path, 0)),
            "pinned": pinned,
            "files": self._files(node),
            "cni": asdict(network.request_of(node, sandbox)),
            "record": json.loads(container.to_row().state) | {"name": container.name},
            "status": as_json(container_status.message(container)),
            "pod": as_json(sandbox_status.message(sandbox)),
        }

    @property
    def _pause(self) -> Path:
        return self.directory / "run/sandboxes" / SANDBOX_ID / "pause"

    def _files(self, node: Node) -> dict[str, str]:
        made = (path for path in files.place(node.paths.sandbox(SANDBOX_ID)).iterdir() if path.is_file())
        return {path.name: path.read_text() for path in made} | {
            path.name: "directory" for path in self.directory.glob("logs-of-*")
        }

    def _container(self, node: Node, sandbox: Sandbox, config: pb.ContainerConfig) -> Container:
        """As CreateContainer has it, but for the operation around it and the runtime's part."""
        create.require_privileged(config, sandbox.config)
        name = container_name(config.metadata, sandbox.config.metadata)
        image = images.get(node, config.image.image)
        volume_images = image_volumes.find(node, config)
        config = image_volumes.with_digests(config, volume_images)
        container = create._record(node, name, sandbox, config, image)
        container.id, container.created_ns = CONTAINER_ID, 1
        container.cgroup_path = container_cgroup(sandbox, CONTAINER_ID)
        container.log_path = create._log_path(node, sandbox, config, CONTAINER_ID)
        rootfs = self.directory / "rootfs"
        container.user = bundle.write(node, container, sandbox, image, volume_images, rootfs).user
        return container

    def _node(self) -> Node:
        shutil.rmtree(self.directory, ignore_errors=True)
        self._write("rootfs/etc/passwd", ACCOUNTS)
        self._write("rootfs/etc/group", GROUPS)
        self._write("volume/sub/file", b"")
        self._write("source/file", b"")
        self._write("seccomp.json", json.dumps(SECCOMP).encode())
        self._write("cdi/vendor.json", json.dumps(CDI).encode())
        paths = Paths(self.directory / "run")
        paths.containers.mkdir(parents=True)
        config = Config()
        config = replace(config, runtime=replace(config.runtime, cdi_spec_dirs=(self.directory / "cdi",)))
        runtime = CliRuntime("runc", Path("/usr/bin/runc"), paths.runtimes, RuntimeKind.RUNC)
        parts: dict[str, Any] = dict.fromkeys(Node.__dataclass_fields__)
        volumes = SimpleNamespace(mount=lambda *_: self.directory / "volume")
        parts |= {
            "config": config,
            "paths": paths,
            "sandboxes": Store[Sandbox]("sandbox"),
            "containers": self._containers(),
            "images": SimpleNamespace(find={"app": IMAGE, IMAGE.id: IMAGE}.get),
            "rootfs": SimpleNamespace(image_volumes=volumes),
            "cgroup_driver": FilesDriver(Hierarchy(())),
            "handlers": AbleHandlers({"runc": runtime}, "runc"),
            "host": self.host,
            "defaults": handler_defaults(config, "runc"),
            "accounts": Accounts(),
        }
        return Node(**parts)

    @staticmethod
    def _containers() -> Store[Container]:
        """With one that runs in the pod, for PID namespaces to join."""
        store = Store[Container]("container")
        target = replace(TARGET, phase=Phase.RUNNING, pid=88)
        store.add(target)
        return store

    def _write(self, name: str, content: bytes) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def without_root(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Replace what only root, or not every machine, can do."""

    def pin(
        kinds: list[Kind],
        place: Path,
        uids: object = (),
        gids: object = (),
        *,
        sysctls: Mapping[str, str],
        hostname: str,
    ) -> dict[Kind, Path]:
        told = {"sysctls": dict(sysctls), "hostname": hostname, "uids": uids, "gids": gids}
        (directory / "pinned").write_text(json.dumps(told | {"kinds": [str(kind) for kind in kinds]}))
        return {kind: place / kind for kind in kinds}

    def pin_owned(kinds: list[Kind], *arguments: Any, **options: Any) -> dict[Kind, Path]:
        return pin([*kinds, Kind.USER], *arguments, **options)

    node = DeviceNode("/dev/host0", "c", 240, 0)
    replaced: dict[tuple[object, str], object] = {
        (os, "chown"): lambda *_, **__: None,
        (mounts, "mount_tmpfs"): lambda *_: None,
        (files, "HOST_RESOLV_CONF"): directory / "source/file",
        (run, "pin"): pin,
        (run, "pin_owned"): pin_owned,
        (hostview, "mount_points"): lambda: (MountPoint("/", shared=True),),
        (hostview, "host_devices"): lambda: (node,),
        (reach, "attach"): lambda _paths, _identifier, rootfs, _gid: rootfs,
        (apparmor, "loaded_profiles"): lambda *_: {"mine", Config().runtime.apparmor_profile},
    }
    for (owner, name), value in replaced.items():
        monkeypatch.setattr(owner, name, value)


def indexed(document: dict[str, Any]) -> dict[str, Any]:
    """A runtime-spec document whose lists of named things are mappings by their names."""
    process, linux = document["process"], document["linux"]
    process["env"] = dict(entry.split("=", 1) for entry in process["env"])
    document["mounts"] = _by(document["mounts"], lambda mount: mount["destination"])
    linux["namespaces"] = _by(linux["namespaces"], lambda one: one["type"])
    linux["devices"] = _by(linux.get("devices", []), lambda one: one["path"])
    return document


def _by(entries: list[dict[str, Any]], name: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
    return {name(entry): {"order": number} | entry for number, entry in enumerate(entries)}


def as_json(message: pb.ContainerStatus | pb.PodSandboxStatus) -> dict[str, Any]:
    """Numbers of 64 bits are text here, as JSON for protobuf has it; mounts by container path."""
    document: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    if "mounts" in document:
        document["mounts"] = {mount["container_path"]: mount for mount in document["mounts"]}
    return document
