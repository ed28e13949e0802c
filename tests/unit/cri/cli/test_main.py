import os
import subprocess
import sys
from pathlib import Path

import pytest

from cri.cli import main


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("podwright ")


def test_version_config_and_check_start_without_grpc() -> None:
    program = (
        "import sys; from cri.cli import main\n"
        "import cri.cli.version, cri.cli.config, cri.cli.check\n"
        "main(['version']); sys.exit(any(name.split('.')[0] in ('grpc', 'google') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["config", "--nonsense"], ["image"], ["image", "import"]])
def test_wrong_usage_is_exit_code_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2


def test_a_bad_configuration_is_told_on_standard_error_with_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.conf"
    file.write_text("[runtime]\nlog_levle = 1")
    assert main(["config", "--config", str(file)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("podwright: ")
    assert 'did you mean "log_level"?' in captured.err
    assert "Traceback" not in captured.err


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    program = "import sys; from cri.cli import main; sys.exit(main(['config', '--default']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == b""


def test_an_error_of_the_system_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d").mkdir()
    assert main(["config", "--config", str(tmp_path / "d")]) == 1
    assert str(tmp_path / "d") in capsys.readouterr().err


def test_each_problem_of_a_configuration_is_a_line_and_acts_on_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, empty = tmp_path / "wrong.conf", tmp_path / "conf.d"
    empty.mkdir()
    wrong.write_text('[crio.runtime]\nlog_levl = "debug"\n"a\\u001b[31m" = 1\n')
    assert main(["config", "--config", str(wrong), "--config-dir", str(empty)]) == 1
    heading, *problems = capsys.readouterr().err.splitlines()
    assert heading == "podwright: the configuration is wrong:"
    assert len(problems) == 2
    assert all(line.startswith("  ") and "\x1b" not in line for line in problems)
