from api.ids import ImageId
from api.runtime.v1 import api_pb2 as pb
from cri.containers.image_volumes import is_image_volume, with_digests
from storage.catalogue import Image
from storage.manifest import ImageConfig

ID = ImageId("sha256:" + "1" * 64)


def _image(*digests: str) -> Image:
    return Image(ID, (), digests, 1, "", ImageConfig(), (), None, pinned=False)


def test_a_message_without_a_name_is_no_image_volume() -> None:
    assert is_image_volume(pb.Mount(image=pb.ImageSpec(image="x")))
    assert not is_image_volume(pb.Mount(image=pb.ImageSpec()))
    assert not is_image_volume(pb.Mount(host_path="/x"))


def test_the_digest_is_noted_in_a_copy() -> None:
    config = pb.ContainerConfig()
    config.mounts.add(host_path="/x")
    config.mounts.add(image=pb.ImageSpec(image="busybox"))
    config.mounts.add(image=pb.ImageSpec(image="other"))
    noted = with_digests(config, {1: _image("r/busybox@sha256:2"), 2: _image()})
    assert [mount.image.image_ref for mount in noted.mounts] == ["", ID, ID]  # as PullImage answers
    assert not config.mounts[1].image.image_ref


def test_a_request_without_image_volumes_is_left_as_it_is() -> None:
    config = pb.ContainerConfig()
    assert with_digests(config, {}) is config
