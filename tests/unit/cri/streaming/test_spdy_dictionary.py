import zlib

from cri.streaming.spdy_dictionary import ADLER32, DICTIONARY


def test_dictionary_has_the_length_and_the_checksum_of_the_draft() -> None:
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == ADLER32


def test_the_checksum_is_what_zlib_writes_as_the_dictionary_id() -> None:
    stream = zlib.compressobj(zdict=DICTIONARY)
    data = stream.compress(b"x") + stream.flush()
    assert int.from_bytes(data[2:6], "big") == ADLER32
