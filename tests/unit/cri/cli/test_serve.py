"""``podwright serve``: who may run it."""

import pytest

from cri.cli import serve
from cri.cli.arguments import parse


def test_another_user_than_root_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(
        serve.NotRoot, match="podwright serve must run as root: start it by its unit, or with"
    ):
        serve.run(parse(["serve", "--config", "/no/such/file"]))
