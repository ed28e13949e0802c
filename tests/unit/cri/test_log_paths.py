from pathlib import Path

import pytest

from cri.log_paths import LogPathLeadsOut, below


@pytest.mark.parametrize(
    ("log_path", "where"), [("main/0.log", "main/0.log"), ("/main/0.log", "main/0.log"), ("a..b/c", "a..b/c")]
)
def test_logs_lie_below_the_directory(log_path: str, where: str) -> None:
    assert below(Path("/logs/pod"), log_path) == Path("/logs/pod") / where


@pytest.mark.parametrize("log_path", ["..", "../x", "a/../../x", "/../x", "a/.."])
def test_a_path_that_leads_out_is_refused(log_path: str) -> None:
    with pytest.raises(LogPathLeadsOut, match="leads out"):
        below(Path("/logs/pod"), log_path)
