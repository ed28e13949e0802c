from tests.harness.cache import PROJECT
from tests.harness.distro_environment import requirements


def test_what_unit_tests_need_is_taken_from_pyproject_without_linters() -> None:
    wanted = requirements((PROJECT / "pyproject.toml").read_text())
    names = {line.split(">")[0].split(";")[0].strip() for line in wanted}
    assert {"grpcio", "pytest", "hypothesis", "isal"} <= names
    assert not {"mypy", "ruff", "kubernetes", "types-PyYAML"} & names
