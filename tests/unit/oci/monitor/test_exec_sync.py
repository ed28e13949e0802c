"""oci/monitor/exec_sync: how much output of a command an answer holds."""

import pytest

from api.runtime.v1 import api_pb2 as pb
from oci.monitor.exec_sync import OUTPUT_LIMIT, shares

CLIENT_LIMIT_BYTES = 16 << 20  # of the kubelet and crictl, for a whole message


@pytest.mark.parametrize(
    ("stdout", "stderr", "kept"),
    [
        (0, 0, (0, 0)),
        (100, 0, (100, 0)),
        (101, 0, (100, 0)),
        (0, 500, (0, 100)),
        (60, 40, (60, 40)),
        (90, 40, (60, 40)),
        (40, 90, (40, 60)),
        (90, 90, (50, 50)),
        (50, 51, (50, 50)),
    ],
)
def test_two_streams_share_the_limit_and_a_short_one_is_whole(
    stdout: int, stderr: int, kept: tuple[int, int]
) -> None:
    assert shares(stdout, stderr, 100) == kept


@pytest.mark.parametrize("limit", range(4))
def test_shares_never_exceed_the_limit(limit: int) -> None:
    assert sum(shares(9, 9, limit)) == limit


@pytest.mark.parametrize("lengths", [(1 << 25, 0), (0, 1 << 25), (1 << 25, 1 << 25)])
def test_the_longest_answer_fits_into_what_clients_take(lengths: tuple[int, int]) -> None:
    stdout, stderr = shares(*lengths, OUTPUT_LIMIT)
    answer = pb.ExecSyncResponse(stdout=bytes(stdout), stderr=bytes(stderr), exit_code=-1)
    assert answer.ByteSize() + 5 <= CLIENT_LIMIT_BYTES  # gRPC puts five bytes before a message
