"""``podwright serve``: who may run it."""

import pytest

from cri.cli import main


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["serve"], "podwright serve must run as root: start it by its unit, or with sudo"),
        (["image", "list"], "podwright image must run as root: its store is for root alone"),
    ],
)
def test_another_user_than_root_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main([*argv, "--config", "/no/such/file"]) == 1
    assert capsys.readouterr().err == f"podwright: {words}\n"
