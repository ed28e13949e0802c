from cri.cli.examine.findings import fails, ok, verdict, warning


def test_a_finding_is_one_line_with_its_way_out() -> None:
    assert str(ok("kernel", "6.1")) == "ok       kernel: 6.1"
    assert str(warning("nft", "not found", "install it")) == "warning  nft: not found -> install it"


def test_the_verdict_counts_what_fails() -> None:
    assert verdict([ok("a", "b"), warning("c", "d")]) == "Pods can run on this host."
    assert "(2)" in verdict([fails("a", "b"), ok("c", "d"), fails("e", "f")])
