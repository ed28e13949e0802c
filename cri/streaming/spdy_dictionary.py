"""The dictionary that primes header compression (SPDY Protocol - Draft 3.1, section 2.6.10.1).

The draft prints 1,423 bytes; here they are put together from their parts: the first ones carry a
32-bit length each, the rest is plain text. ``ADLER32`` is the identifier that zlib writes on the wire.
"""

import struct
from typing import Final

_WORDS: Final = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language "
    "accept-ranges age allow authorization cache-control connection content-base content-encoding "
    "content-language content-length content-location content-md5 content-range content-type date etag "
    "expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since "
    "last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer "
    "retry-after server te trailer transfer-encoding upgrade user-agent vary via warning "
    "www-authenticate method get status"
)
_PHRASES: Final = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_BARE_CODES: Final = (
    "100 101 201 202 205 206 300 302 303 304 305 306 307 402 405 406 407 408 409 410 411 412 413 414 415 "
    "416 417 502 504 505"
).replace(" ", "")
_TAIL: Final = (
    "203 Non-Authoritative Information" "204 No Content" "301 Moved Permanently" "400 Bad Request"
    "401 Unauthorized" "403 Forbidden" "404 Not Found" "500 Internal Server Error" "501 Not Implemented"
    "503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdch"
    "charset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)  # fmt: skip


def _with_length(word: str) -> bytes:
    return struct.pack(">I", len(word)) + word.encode()


DICTIONARY: Final = b"".join(
    [*map(_with_length, _WORDS.split()), *map(_with_length, _PHRASES), _BARE_CODES.encode(), _TAIL.encode()]
)
ADLER32: Final = 0xE3C6A7C2
