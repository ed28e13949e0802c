from cri.streaming import spdy_frames as frames


def test_data_frame_has_stream_flags_length_and_bytes() -> None:
    assert frames.data(1, b"hi", end=True) == bytes.fromhex("00000001 01 000002") + b"hi"


def test_control_frame_has_version_type_flags_and_length() -> None:
    assert frames.rst_stream(3, 5) == bytes.fromhex("8003 0003 00 000008 00000003 00000005")
    assert frames.ping(2) == bytes.fromhex("8003 0006 00 000004 00000002")
    assert frames.goaway(7, 0) == bytes.fromhex("8003 0007 00 000008 00000007 00000000")


def test_syn_stream_has_an_empty_association_and_slot() -> None:
    assert frames.syn_stream(1, b"B", 1) == bytes.fromhex("8003 0001 01 00000b 00000001 00000000 0000") + b"B"


def test_data_beyond_24_bits_is_split_and_ends_only_once() -> None:
    sent = frames.data(1, bytes(frames.MAX_PAYLOAD_BYTES + 3), end=True)
    assert frames.split_header(sent, 0) == (1, 0, frames.MAX_PAYLOAD_BYTES)
    second = frames.HEADER_BYTES + frames.MAX_PAYLOAD_BYTES
    assert frames.split_header(sent, second) == (1, frames.FLAG_FIN, 3)
    assert len(sent) == second + frames.HEADER_BYTES + 3
