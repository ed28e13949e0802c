"""The verdict on a run of critest, from reports as ginkgo writes them."""

from pathlib import Path

import pytest

from tests.critest.expected import Skip
from tests.critest.report import Outcome, Report, Spec, UnreadableReport, Verdict, essence, judge

JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="6" disabled="2" errors="0" failures="1" time="1.5">
 <testsuite name="CRI validation" tests="6" skipped="2" errors="0" failures="1">
  <testcase name="[SynchronizedBeforeSuite]" classname="CRI validation" status="passed" time="0.1"></testcase>
  <testcase name="[It] [k8s.io] Pod runs [Conformance]" classname="x" status="passed" time="0.1"></testcase>
  <testcase name="[It] [k8s.io] Pod stops" classname="x" status="failed" time="0.1">
   <failure message="Expected&#xA;    &lt;int&gt;: 1">[FAILED] 1&#xA;In [It] at: pod.go:7</failure>
  </testcase>
  <testcase name="[It] [k8s.io] AppArmor applies" classname="x" status="skipped" time="0">
   <skipped message="skipped - AppArmor is disabled on this host"></skipped>
  </testcase>
  <testcase name="[It] [k8s.io] Image by digest [Serial]" classname="x" status="skipped" time="0">
   <skipped message="skipped"></skipped>
  </testcase>
  <testcase name="[It] [k8s.io] Other, out of focus" classname="x" status="skipped" time="0">
   <skipped message="skipped"></skipped>
  </testcase>
 </testsuite>
</testsuites>
"""
APPARMOR = Skip("AppArmor", "no AppArmor here")
DIGEST = Skip("Image by digest", "cannot be rebuilt", by_us=True)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT)
    return Report.read(path)


def spec(name: str, outcome: Outcome, message: str = "", *, selected: bool = True) -> Spec:
    return Spec(name, outcome, message, selected)


def verdict(*specs: Spec, skips: tuple[Skip, ...] = (), left_out: str = "") -> Verdict:
    return judge(Report(specs), skips, left_out)


def test_only_cases_that_start_with_it_are_specs(report: Report) -> None:
    assert [one.name for one in report.specs] == [
        "[k8s.io] Pod runs [Conformance]",
        "[k8s.io] Pod stops",
        "[k8s.io] AppArmor applies",
        "[k8s.io] Image by digest [Serial]",
        "[k8s.io] Other, out of focus",
    ]
    assert report.outside == ()


def test_a_failure_keeps_its_message_and_place(report: Report) -> None:
    failed = report.specs[1]
    assert failed.outcome is Outcome.FAILED
    assert failed.message.startswith("Expected\n    <int>: 1\n[FAILED]")
    assert failed.message.endswith("pod.go:7")


def test_a_spec_that_skips_itself_is_told_from_one_that_was_filtered_out(report: Report) -> None:
    assert (report.specs[2].message, report.specs[2].selected) == ("AppArmor is disabled on this host", True)
    assert (report.specs[3].message, report.specs[3].selected) == ("", False)


def test_each_skip_stands_with_its_reason_above_the_totals(report: Report) -> None:
    lines = judge(report, (APPARMOR, DIGEST), DIGEST.pattern).lines
    assert "skipped: [k8s.io] AppArmor applies: no AppArmor here (AppArmor is disabled on this host)" in lines
    assert "skipped: [k8s.io] Image by digest [Serial]: cannot be rebuilt" in lines
    assert not any("out of focus" in line for line in lines)
    assert lines[-1] == "1 passed, 1 failed, 2 skipped"


def test_a_failed_spec_makes_the_run_bad(report: Report) -> None:
    judged = judge(report, (APPARMOR, DIGEST), DIGEST.pattern)
    assert not judged.good
    assert "FAILED: [k8s.io] Pod stops" in judged.lines


def test_an_unexpected_skip_makes_the_run_bad() -> None:
    judged = verdict(spec("a", Outcome.PASSED), spec("b", Outcome.SKIPPED, "not implemented"))
    assert not judged.good
    assert judged.lines[0] == "UNEXPECTED SKIP: b (not implemented)"
    assert judged.lines[-1] == "1 passed, 0 failed, 1 skipped"


def test_expected_skips_and_passes_make_a_good_run() -> None:
    judged = verdict(spec("a", Outcome.PASSED), spec("AppArmor b", Outcome.SKIPPED, "off"), skips=(APPARMOR,))
    assert judged.good


def test_a_pass_where_a_skip_was_expected_is_reported() -> None:
    judged = verdict(spec("AppArmor a", Outcome.PASSED), skips=(APPARMOR,))
    assert judged.good
    assert judged.lines[0] == "passed although a skip was expected (no AppArmor here): AppArmor a"


def test_a_run_without_any_spec_is_bad() -> None:
    judged = verdict(spec("a", Outcome.SKIPPED, selected=False))
    assert not judged.good
    assert judged.lines[-1] == "0 passed, 0 failed, 0 skipped"


def test_a_failed_suite_set_up_counts_as_failure(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(
        JUNIT.replace('Suite]" classname="CRI validation" status="passed"', 'Suite]" status="failed"')
    )
    text = path.read_text().replace('time="0.1"></testcase>', '><failure message="no socket"/></testcase>', 1)
    path.write_text(text)
    report = Report.read(path)
    assert [one.message for one in report.outside] == ["no socket"]
    assert judge(report, (APPARMOR, DIGEST), DIGEST.pattern).lines[-1] == "1 passed, 2 failed, 2 skipped"


@pytest.mark.parametrize("status", ["interrupted", "aborted", "timedout", "panicked"])
def test_a_spec_that_neither_passed_nor_was_skipped_failed(tmp_path: Path, status: str) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(
        f'<testsuites><testsuite><testcase name="[It] a" status="{status}"/></testsuite></testsuites>'
    )
    assert Report.read(path).specs == (Spec("a", Outcome.FAILED, status),)


@pytest.mark.parametrize("text", [None, "", "<testsuites><testsuite>"])
def test_a_missing_or_cut_off_report_is_an_error_that_names_the_file(
    tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "junit.xml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UnreadableReport, match=r"junit\.xml"):
        Report.read(path)


def test_what_we_left_out_counts_only_within_the_focus() -> None:
    both = (
        spec("a [Conformance]", Outcome.SKIPPED, selected=False),
        spec("a", Outcome.SKIPPED, selected=False),
    )
    judged = verdict(spec("b [Conformance]", Outcome.PASSED), *both, skips=(Skip("^a", "why", by_us=True),))
    assert judged.lines == ("1 passed, 0 failed, 0 skipped",)
    report = Report((spec("b [Conformance]", Outcome.PASSED), *both))
    judged = judge(report, [Skip("^a", "why", by_us=True)], "(^a)", r"\[Conformance\]")
    assert judged.lines == ("skipped: a [Conformance]: why", "1 passed, 0 failed, 1 skipped")


def test_the_essence_of_a_message_has_no_dumps_and_no_repeats() -> None:
    message = (
        "Unexpected error:\n  rpc error: code = Internal desc = no\n  {\n    s: {\n      state: {},\n    },\n"
        "  }\noccurred\nUnexpected error:\nIn [It] at: pkg/validate/pod.go:7 @ noon"
    )
    assert essence(message) == [
        "Unexpected error:",
        "  rpc error: code = Internal desc = no",
        "occurred",
        "In [It] at: pkg/validate/pod.go:7 @ noon",
    ]
