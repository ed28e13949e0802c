"""A store on disk and its overlays keep the contracts that their fakes are held to."""

from collections.abc import AsyncIterator

import pytest

from storage.catalogue import Image
from storage.images import Images
from storage.overlay import RootfsManager
from tests.contract.images import ImagesContract
from tests.contract.rootfs import RootfsContract
from tests.integration.storage.conftest import OpenStore
from tests.integration.storage.support import Member
from tests.integration.storage.test_overlay import add

pytestmark = pytest.mark.root


@pytest.fixture
async def images(open_store: OpenStore) -> AsyncIterator[Images]:
    async with open_store("127.0.0.1:1") as opened:
        yield opened


@pytest.fixture
async def image(images: Images) -> Image:
    await add(images, [[Member("file", b"1")]], "contract")
    [found] = images.list()
    return found


class TestImages(ImagesContract):
    pass


class TestRootfs(RootfsContract):
    @pytest.fixture
    def rootfs(self, images: Images) -> RootfsManager:
        return RootfsManager(images.root, images.database, images.layers, usage_ttl_s=0.0)
