"""JUnit reports of pytest, read back from one that pytest wrote."""

from pathlib import Path

from tests.node.results import Results

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4">
<testcase classname="t" name="test_good" time="0.001" />
<testcase classname="t" name="test_bad" time="0.001"><failure message="assert 1 == 2">def</failure></testcase>
<testcase classname="t" name="test_left" time="0.0"><skipped type="pytest.skip" message="no" /></testcase>
<testcase classname="t" name="test_set_up" time="0.0"><error message="failed on setup">x</error></testcase>
</testsuite></testsuites>
"""


def test_what_came_of_each_test_is_told(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(REPORT)
    assert Results.read(tmp_path / "junit.xml") == Results(
        passed=("t::test_good",),
        failed=("t::test_bad: assert 1 == 2", "t::test_set_up: failed on setup"),
        skipped=("t::test_left",),
    )
