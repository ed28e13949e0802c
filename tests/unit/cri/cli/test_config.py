import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from conf.sample import sample
from cri.cli import main


def test_default_prints_the_sample(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--default"]) == 0
    assert capsys.readouterr().out == sample()


def test_what_differs_is_printed_and_warnings_go_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.conf"
    file.write_text('[crio.runtime]\nlog_level = "info"\nconmon = "/x"\npids_limit = 7\n')
    assert main(["config", "--config", str(file)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"# Files read: {file}\n[crio.runtime]\npids_limit = 7\n"
    assert captured.err.startswith("warning: ")
    assert "crio.runtime.conmon" in captured.err


def test_defaults_are_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.conf").write_text("")
    assert main(["config", "--config", str(tmp_path / "a.conf")]) == 0
    assert "Every option has its default." in capsys.readouterr().out


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_get_all_that_is_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, read: Callable[[str], Any]
) -> None:
    file = tmp_path / "a.conf"
    file.write_text('[crio.runtime.runtimes.x]\nruntime_path = "/x"\n[crio.runtime]\npids_limit = 7\n')
    assert main(["config", "--config", str(file), "-o", form]) == 0
    found = read(capsys.readouterr().out)["crio"]
    assert found["runtime"]["pids_limit"] == 7
    assert found["runtime"]["runtimes"]["x"]["runtime_path"] == "/x"
    assert found["api"]["listen"] == "/run/podwright/podwright.sock"
    assert main(["config", "--default", "-o", form]) == 0
    assert read(capsys.readouterr().out)["crio"]["runtime"]["pids_limit"] == -1
