"""Read files of look-asides: of this machine, or by http and https.

What is not there is told apart from what cannot be asked: the one is no signature, the other no answer.
Nobody is told credentials, and redirects are few.
"""

import asyncio
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from yarl import URL

from api.errors import Unavailable
from host.files import FileTooLarge, read_bounded
from storage.registry.http import in_words, proxy_for
from storage.registry.options import ClientOptions

_REDIRECTS = 5
_TIMEOUT_S = 60.0
_CHUNK_BYTES = 64 << 10
_HEADERS: Mapping[str, str] = {"User-Agent": "podwright", "Accept-Encoding": "identity"}


class LookasideUnavailable(Unavailable):
    """A look-aside does not answer, or not as it should."""


class LookasideFiles:
    """Look-asides by their URLs."""

    def __init__(self, options: ClientOptions) -> None:
        self._options = options

    async def read(self, url: str, limit: int) -> bytes | None:
        """A whole file, None when it is not there.

        Raises:
            LookasideUnavailable: nobody can say, or it is larger than ``limit`` bytes.
        """
        if url.startswith("file:"):
            return await asyncio.to_thread(
                _read_local, Path(urllib.parse.unquote(url.removeprefix("file://"))), limit
            )
        try:
            return await self._get(url, limit)
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise LookasideUnavailable(f"{url}: {in_words(error)}") from error
        except ValueError as error:
            raise LookasideUnavailable(f"{url} cannot be asked: {error}") from error

    async def _get(self, url: str, limit: int) -> bytes | None:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S, sock_connect=self._options.connect_timeout_s)
        target = URL(url, encoded=True)
        async with (
            aiohttp.ClientSession(
                timeout=timeout, headers=_HEADERS, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            ) as session,
            session.get(target, max_redirects=_REDIRECTS, proxy=proxy_for(target)) as answer,
        ):
            if answer.status == 404:
                return None
            if answer.status != 200:
                raise LookasideUnavailable(f"{url}: HTTP {answer.status}")
            data = bytearray()
            async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                data += chunk
                if len(data) > limit:
                    raise LookasideUnavailable(f"{url} is larger than {limit} bytes")
            return bytes(data)


def _read_local(path: Path, limit: int) -> bytes | None:
    try:
        return read_bounded(path, limit)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except FileTooLarge as error:
        raise LookasideUnavailable(str(error)) from error
    except OSError as error:
        raise LookasideUnavailable(f"{path}: {error.strerror}") from error
