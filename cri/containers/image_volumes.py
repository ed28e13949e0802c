"""Image volumes of a request (Mount.image): checked, mounted, and noted with the digest that was taken.

Every error begins with the word by which the kubelet shows the reason (k8s.io/cri-api/pkg/errors).
"""

from collections.abc import Mapping
from pathlib import Path

from api.errors import InvalidArgument, NotFound, PodwrightError
from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import Container
from cri.node import Node
from storage import image_volumes
from storage.catalogue import Image

WORD = "ImageVolumeMountFailed"


class ImageVolumeMountFailed(InvalidArgument):
    """An image volume cannot be mounted as asked for."""


class VolumeImageMissing(NotFound):
    """The image of a volume must be pulled first."""


def is_image_volume(mount: pb.Mount) -> bool:
    """Whether an image is to be mounted; a message without a name is none."""
    return bool(mount.image.image)


def find(node: Node, config: pb.ContainerConfig) -> dict[int, Image]:
    """The images of the request's volumes, by the number of their mount.

    Raises:
        ImageVolumeMountFailed: it asks for a writable volume, or names a host path too.
        VolumeImageMissing: the image is not on this node.
    """
    return {
        number: _find(node, f"mounts[{number}]", mount)
        for number, mount in enumerate(config.mounts)
        if is_image_volume(mount)
    }


def _find(node: Node, field: str, mount: pb.Mount) -> Image:
    name = mount.image.image
    if not mount.readonly:
        raise ImageVolumeMountFailed(
            f"{WORD}: {field}.readonly is false, but image volumes ({name!r}) are read-only"
        )
    if mount.host_path:
        raise ImageVolumeMountFailed(
            f"{WORD}: {field} has both image {name!r} and host_path {mount.host_path!r}"
        )
    image = node.images.find(name)
    if image is None:
        raise VolumeImageMissing(f"{WORD}: {field}.image {name!r} is not on this node: pull it first")
    return image


def with_digests(config: pb.ContainerConfig, images: Mapping[int, Image]) -> pb.ContainerConfig:
    """``config`` with image_ref in each image mount, as ContainerStatus reports it; the original is kept.

    It is the digest that PullImage answered with and Image.id is: the kubelet compares these.
    """
    if not images:
        return config
    noted = pb.ContainerConfig()
    noted.CopyFrom(config)
    for number, image in images.items():
        noted.mounts[number].image.image_ref = image.id
    return noted


def mount_all(node: Node, container: Container, images: Mapping[int, Image]) -> dict[int, Path]:
    """Mount them; the sources for the container's mounts, sub-paths applied. Blocking.

    What was mounted goes with the container's root file system, also when this fails.

    Raises:
        ImageVolumeMountFailed: no such sub-path, or the kernel refuses.
    """
    return {number: _mount(node, container, number, image) for number, image in images.items()}


def _mount(node: Node, container: Container, number: int, image: Image) -> Path:
    mount = container.config.mounts[number]
    try:
        volume = node.rootfs.image_volumes.mount(container.id, number, image)
        return image_volumes.resolve(volume, mount.image_sub_path)
    except (PodwrightError, OSError) as error:
        raise ImageVolumeMountFailed(
            f"{WORD}: mounts[{number}].image {mount.image.image!r}: {error}"
        ) from error
