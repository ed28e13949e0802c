"""Input and output of cgroups, by the files of both versions."""

from pathlib import Path

from host.cgroup_io import DeviceIo, devices

BYTES = "8:0 Read 4096\n8:0 Write 8192\n8:0 Discard 0\n8:0 Total 12288\nTotal 12288\n"
SERVICED = "8:0 Read 1\n8:0 Write 2\n8:0 Discard 0\n8:0 Total 3\nTotal 3\n"
IO_STAT = "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n7:1 \n254:16 rbytes=1\n"
READ_AND_WRITTEN = DeviceIo(
    "8:0",
    {"read": 4096, "write": 8192, "discard": 0},
    {"read": 1, "write": 2, "discard": 0},
)


def test_version_1_by_the_throttling_policy(tmp_path: Path) -> None:
    (tmp_path / "blkio.throttle.io_service_bytes_recursive").write_text(BYTES)
    (tmp_path / "blkio.throttle.io_serviced_recursive").write_text(SERVICED)
    (found,) = devices({"blkio": tmp_path}.get, 1)
    assert found == DeviceIo(
        "8:0",
        {**READ_AND_WRITTEN.bytes, "total": 12288},
        {**READ_AND_WRITTEN.operations, "total": 3},
    )


def test_version_1_by_bfq_before_the_other(tmp_path: Path) -> None:
    (tmp_path / "blkio.bfq.io_service_bytes_recursive").write_text("8:16 Read 5\nTotal 5\n")
    (tmp_path / "blkio.throttle.io_service_bytes_recursive").write_text(BYTES)
    assert devices({"blkio": tmp_path}.get, 1) == [DeviceIo("8:16", {"read": 5}, {})]


def test_version_2(tmp_path: Path) -> None:
    (tmp_path / "io.stat").write_text(IO_STAT)
    assert devices({"unified": tmp_path}.get, 2) == [READ_AND_WRITTEN, DeviceIo("254:16", {"read": 1})]


def test_what_is_gone_has_used_no_device(tmp_path: Path) -> None:
    for version in (1, 2):
        assert devices(lambda _: tmp_path / "gone", version) == devices(lambda _: None, version) == []
