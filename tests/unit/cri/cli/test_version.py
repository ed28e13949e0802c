import json

import pytest

from cri.cli import main
from cri.version import VERSION


def test_json_has_the_version_and_what_it_runs_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == 0
    versions = json.loads(capsys.readouterr().out)
    assert versions["version"] == VERSION
    assert versions.keys() == {"version", "cri", "python", "kernel", "machine"}
