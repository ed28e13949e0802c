"""ImageService (api.proto): the store's images as CRI messages, and pulls."""

import logging
import time
from collections.abc import AsyncIterator

from api.errors import FailedPrecondition, InvalidArgument
from api.runtime.v1 import api_pb2 as pb
from cri.logs import fields
from cri.node import Node
from cri.sandboxes.listing import CHUNK
from cri.subject import of_pod
from oci.generate.identity import image_uid, split_user
from storage.catalogue import Image
from storage.reference import InvalidReference
from storage.registry.auth import BadAuthFile, Credentials, decode_auth
from storage.rootfs_rows import ImageNotFound


class ImageDamaged(FailedPrecondition):
    """The image is here but cannot be read."""


logger = logging.getLogger(__name__)


class BadAuthConfig(InvalidArgument):
    """AuthConfig.auth is not base64 of ``user:password``."""


class NameMissing(InvalidArgument):
    """A policy needs an image's name, and the request has none."""


class ImageInUse(FailedPrecondition):
    """A container shows the image as a volume."""


def user_fields(user: str) -> tuple[pb.Int64Value | None, str]:
    """Split an image's ``user[:group]`` into the uid or the name; root where it says nothing.

    By this the kubelet decides about runAsNonRoot: it is what a container runs as (oci.generate.identity).
    """
    uid = image_uid(user)
    return (None, split_user(user)[0]) if uid is None else (pb.Int64Value(value=uid), "")


def message(image: Image) -> pb.Image:
    """The one message for an image, whatever reference it was asked by."""
    uid, username = (None, "") if image.fault else user_fields(image.user)
    return pb.Image(
        id=image.id,
        repo_tags=image.repo_tags,
        repo_digests=image.repo_digests,
        size=image.size_bytes,
        uid=uid,
        username=username,
        pinned=image.pinned,
    )


def credentials(auth: pb.AuthConfig) -> Credentials | None:
    """What the kubelet knows of the registry; None when it knows nothing.

    Raises:
        BadAuthConfig: ``auth`` is set and malformed.
        BadCredentials: they cannot be sent.
    """
    username, password = auth.username, auth.password
    if auth.auth and not username:
        try:
            username, password = decode_auth(auth.auth, "auth.auth")
        except BadAuthFile as error:
            raise BadAuthConfig("auth.auth is not base64 of user:password") from error
    if not (username or auth.identity_token or auth.registry_token):
        return None
    found = Credentials(username, password, auth.identity_token, auth.registry_token, auth.server_address)
    return found.check("auth")


def get(node: Node, reference: str) -> Image:
    """The image that a container asks for, by id or any name.

    Raises:
        ImageNotFound: it must be pulled first.
        ImageDamaged: it must be removed, and pulled again.
    """
    image = node.images.find(reference)
    if image is None:
        raise ImageNotFound(f"image {reference!r} is not on this node: pull it first")
    if image.fault:
        raise ImageDamaged(f"image {image.id} cannot be used: {image.fault}; remove it and pull it again")
    return image


async def require_signed(node: Node, image: Image, spec: pb.ImageSpec, namespace: str) -> None:
    """The policy for a namespace lets a container use an image under the name by which its pod asked for it.

    Raises:
        SignatureValidationFailed: it does not. NameMissing: the request has an id alone.
    """
    asked = spec.user_specified_image or spec.image
    try:
        await node.images.require_signed(image, asked, namespace)
    except InvalidReference as error:
        raise NameMissing(
            f"image.user_specified_image is empty and {asked[:100]!r} is no name: a policy for signatures "
            "needs the name by which the pod asks for the image"
        ) from error


def matching(node: Node, wanted: pb.ImageFilter) -> list[pb.Image]:
    """All images, or the one that the filter names."""
    if not wanted.image.image:
        return [message(image) for image in node.images.list()]
    found = node.images.find(wanted.image.image)
    return [] if found is None else [message(found)]


async def list_images(node: Node, request: pb.ListImagesRequest) -> pb.ListImagesResponse:
    """Every image, once."""
    return pb.ListImagesResponse(images=matching(node, request.filter))


async def stream_images(
    node: Node, request: pb.StreamImagesRequest
) -> AsyncIterator[pb.StreamImagesResponse]:
    """The same in messages of at most CHUNK images."""
    found = matching(node, request.filter)
    for first in range(0, len(found), CHUNK):
        yield pb.StreamImagesResponse(images=found[first : first + CHUNK])


async def image_status(node: Node, request: pb.ImageStatusRequest) -> pb.ImageStatusResponse:
    """The image, or an empty answer when it is not there: that is no error in the CRI."""
    if not request.image.image:
        raise InvalidArgument("image.image is empty: name the image")
    found = node.images.find(request.image.image)
    if found is None:
        return pb.ImageStatusResponse()
    info = _info(node, found) if request.verbose else None
    return pb.ImageStatusResponse(image=message(found), info=info)


def _info(node: Node, image: Image) -> dict[str, str]:
    from cri.inspect import verbose  # only people ask for it

    return verbose.of_image(node, image)


async def pull_image(node: Node, request: pb.PullImageRequest) -> pb.PullImageResponse:
    """Pull, or join the pull of the same image that runs; the answer is the image's id."""
    reference = request.image.image
    if not reference:
        raise InvalidArgument("image.image is empty: name the image to pull")
    begun = time.monotonic()
    namespace = request.sandbox_config.metadata.namespace
    from cri.images.watch import watch  # many daemons never pull

    about = {**of_pod(request.sandbox_config.metadata), "image": reference}
    seen = watch(node.operations, reference, about)
    image = await node.images.pull(reference, credentials(request.auth), namespace=namespace, watch=seen)
    took_ms = round((time.monotonic() - begun) * 1000, 1)
    told = fields(image=reference, image_id=image.id, size_bytes=image.size_bytes, ms=took_ms)
    logger.info("image pulled", extra=told)
    return pb.PullImageResponse(image_ref=image.id)


async def remove_image(node: Node, request: pb.RemoveImageRequest) -> pb.RemoveImageResponse:
    """Remove the image with all its names; one that is not there is fine.

    Raises:
        ImageInUse: a container shows it as a volume.
    """
    if not request.image.image:
        raise InvalidArgument("image.image is empty: name the image to remove")
    image = node.images.find(request.image.image)
    if image is not None:
        require_unused(node, image)
    await node.images.remove(request.image.image)
    logger.info("image removed", extra=fields(image=request.image.image))
    return pb.RemoveImageResponse()


def require_unused(node: Node, image: Image) -> None:
    """Refuse while a container shows the image as a volume, as CRI-O does.

    Raises:
        ImageInUse: naming the container.
    """
    names = {image.id, *image.repo_digests}
    for container in node.containers:
        if any(mount.image.image_ref in names for mount in container.config.mounts if mount.image.image):
            raise ImageInUse(
                f"image {image.id} is in use: container {container.config.metadata.name} "
                f"({container.id[:12]}) has it as a volume: remove that first"
            )


async def image_fs_info(node: Node, request: pb.ImageFsInfoRequest) -> pb.ImageFsInfoResponse:
    """What images use; containers' writable layers lie on the same file system."""
    usage = node.images.fs_info()
    entry = pb.FilesystemUsage(
        timestamp=usage.timestamp_ns,
        fs_id=pb.FilesystemIdentifier(mountpoint=str(usage.mountpoint)),
        used_bytes=pb.UInt64Value(value=usage.used_bytes),
        inodes_used=pb.UInt64Value(value=usage.inodes_used),
    )
    return pb.ImageFsInfoResponse(image_filesystems=[entry], container_filesystems=[entry])
