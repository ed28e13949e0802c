"""What every Images does (cri/parts.py): the fake of the crash matrix, and a store on disk.

A subclass has fixtures ``images`` and ``image``, the one that is there, with a tag.
"""

from api.ids import ImageId
from cri.parts import Images
from storage.catalogue import Image


class ImagesContract:
    """The one image may be gone afterwards."""

    def test_an_image_is_found_by_each_of_its_names(self, images: Images, image: Image) -> None:
        for name in (image.id, *image.repo_tags, *image.repo_digests):
            assert images.find(name) == image
        assert list(images.list()) == [image]

    def test_another_is_not(self, images: Images) -> None:
        assert images.find("registry.example/nothing:1") is None

    async def test_a_removal_takes_all_names_and_may_be_repeated(self, images: Images, image: Image) -> None:
        name = image.repo_tags[0]
        await images.remove(name)
        await images.remove(name)
        assert [images.find(one) for one in (image.id, *image.repo_tags)] == [None] * (
            1 + len(image.repo_tags)
        )
        assert list(images.list()) == []

    def test_usage_is_of_this_moment(self, images: Images) -> None:
        assert images.fs_info().timestamp_ns > 0

    def test_the_whole_config_is_there_as_long_as_the_image_is(self, images: Images, image: Image) -> None:
        document = images.config_document(image.id)
        assert document is not None
        assert document["os"] == "linux"
        assert images.config_document(ImageId("sha256:" + "0" * 64)) is None
