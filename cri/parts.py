"""What the verbs need of the parts below: the real ones, or fakes under one contract (tests/contract)."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from api.ids import ContainerId, ImageId
from cni.chain import Step, untimed
from cni.network import Readiness
from cni.pod import Attachment as NetworkAttachment
from cni.pod import PodNetwork
from oci.monitor.handles import Attachment, ExecHandle
from oci.monitor.protocol import Json, Record
from oci.monitor.types import CreateContainer, Created, Exited
from oci.runtime import Runtime
from storage.catalogue import Image
from storage.image_volumes import ImageVolumes
from storage.images import FilesystemUsage
from storage.options import Options
from storage.registry.auth import Credentials
from storage.registry.registries_conf import Registries

if TYPE_CHECKING:
    from storage.progress import Watch


class Monitor(Protocol):
    """See oci.monitor.client.Monitor, which says what each call raises."""

    lost: int

    async def create(self, spec: CreateContainer) -> Created: ...

    async def start(self, container_id: ContainerId, runtime: Runtime, timeout_s: float = 60.0) -> None: ...

    async def started(self, container_id: ContainerId) -> None: ...

    async def signal(self, container_id: ContainerId, signo: int) -> None: ...

    async def exec(
        self,
        container_id: ContainerId,
        runtime: Runtime,
        process: Json,
        *,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        start_timeout_s: float = 60.0,
        run_timeout_s: float | None = None,
        stdio_owner: tuple[int, int] = (0, 0),
    ) -> ExecHandle: ...

    async def reopen_log(self, container_id: ContainerId) -> None: ...

    async def settle_logs(self, directory: Path, timeout_s: float) -> Path: ...

    async def prepare_logs(self, directory: Path, timeout_s: float) -> int: ...

    async def remove_logs(self, directory: Path, timeout_s: float) -> None: ...

    async def attach(
        self,
        container_id: ContainerId,
        *,
        stdin: bool = False,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> Attachment: ...

    async def close_stdin(self, container_id: ContainerId) -> None: ...

    async def resize(self, container_id: ContainerId, width: int, height: int) -> None: ...

    async def list(self) -> list[Record]: ...

    async def settle(self) -> None: ...

    async def forget(self, container_id: ContainerId) -> None: ...

    def exits(self) -> AsyncIterator[Exited]: ...


class Images(Protocol):
    """See storage.images.Images."""

    @property
    def leftovers(self) -> dict[Path, OSError]: ...

    @property
    def registries_problem(self) -> Exception | None: ...

    def list(self) -> Sequence[Image]: ...

    def find(self, text: str) -> Image | None: ...

    async def pull(
        self,
        reference: str,
        credentials: Credentials | None = None,
        *,
        auth_files: Sequence[Path] | None = None,
        namespace: str = "",
        watch: Callable[[], "Watch"] | None = None,
    ) -> Image: ...

    async def require_signed(self, image: Image, asked: str, namespace: str = "") -> None: ...

    async def remove(self, text: str) -> None: ...

    def fs_info(self) -> FilesystemUsage: ...

    def reconfigure(self, options: Options) -> None: ...

    def problems(self) -> tuple[str, ...]: ...

    def discard(self, leftover: Path) -> None: ...

    async def load_registries(self) -> Registries: ...

    def config_document(self, image_id: ImageId) -> Mapping[str, object] | None: ...


class Rootfs(Protocol):
    """See storage.overlay.RootfsManager."""

    @property
    def image_volumes(self) -> ImageVolumes: ...

    async def prepare(self, container_id: ContainerId, image: Image, userns: Path | None = None) -> Path: ...

    async def remove(self, container_id: ContainerId) -> None: ...

    def known(self) -> set[ContainerId]: ...

    async def restore(self, unused: Collection[str] = ()) -> dict[Path, OSError]: ...

    def discard(self, place: Path) -> None: ...

    async def usage(self, container_id: ContainerId) -> tuple[int, int]: ...


class Network(Protocol):
    """See cni.network.Network."""

    def ready(self) -> Readiness: ...

    async def attach(self, pod: PodNetwork, step: Step = untimed) -> NetworkAttachment: ...

    async def detach(self, pod: PodNetwork) -> None: ...

    async def collect(self, sandbox_ids: Collection[str]) -> None: ...

    async def result(self, sandbox_id: str) -> Mapping[str, object] | None: ...
