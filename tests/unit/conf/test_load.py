from pathlib import Path

import pytest

from conf.load import BadConfiguration, Loaded, load, parse_override
from conf.schema import Config
from conf.values import Assignment, Ulimit


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def read(tmp_path: Path, text: str) -> Loaded:
    return load(write(tmp_path / "podwright.conf", text))


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(BadConfiguration) as caught:
        read(tmp_path, text)
    return [line.removeprefix(f"{tmp_path}/") for line in caught.value.problems]


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "").config == Config()


@pytest.mark.parametrize("prefix", ["crio.", ""])
def test_tables_may_stand_with_and_without_crio(tmp_path: Path, prefix: str) -> None:
    config = read(
        tmp_path, f'[{prefix}runtime]\nlog_level = "debug"\n[{prefix}image]\npause_image = "p"'
    ).config
    assert config.runtime.log_level == "debug"
    assert config.image.pause_image == "p"


def test_top_level_keys_may_stand_with_and_without_crio(tmp_path: Path) -> None:
    assert read(tmp_path, 'root = "/a"').config.root == Path("/a")
    assert read(tmp_path, '[crio]\nroot = "/a"').config.root == Path("/a")


def test_texts_with_a_form_of_their_own_are_parsed(tmp_path: Path) -> None:
    text = (
        '[runtime]\ndefault_ulimits = ["nofile=1:2"]\ndefault_sysctls = ["net.a=1"]\nctr_stop_timeout = "39s"'
    )
    runtime = read(tmp_path, text).config.runtime
    assert runtime.default_ulimits == (Ulimit("nofile", 1, 2),)
    assert runtime.default_sysctls == (Assignment("net.a", "1"),)
    assert runtime.ctr_stop_timeout == 39.0


def test_a_stream_port_may_be_text_as_in_crio(tmp_path: Path) -> None:
    assert read(tmp_path, '[crio.api]\nstream_port = "10010"').config.api.stream_port == 10010


def test_drop_ins_win_in_the_order_of_their_names(tmp_path: Path) -> None:
    file = write(tmp_path / "main.conf", '[crio.runtime]\nlog_level = "warn"\npids_limit = 5')
    directory = tmp_path / "conf.d"
    write(directory / "20-b", '[crio.runtime]\nlog_level = "error"')
    write(directory / "10-a/nested.conf", '[crio.runtime]\nlog_level = "debug"\n[image]\npause_image = "p"')
    write(directory / ".hidden", "not TOML at all")
    write(directory / "backup~", "not TOML at all")
    loaded = load(file, directory)
    assert loaded.config.runtime.log_level == "error"
    assert loaded.config.runtime.pids_limit == 5
    assert loaded.config.image.pause_image == "p"
    assert loaded.files == (file, directory / "10-a/nested.conf", directory / "20-b")
    assert loaded.sources["crio.runtime.log_level"] == f"{directory}/20-b:2"


def test_handlers_merge_by_name_and_key(tmp_path: Path) -> None:
    file = write(
        tmp_path / "main.conf",
        '[runtime.runtimes.crun]\nruntime_path = "/a"\nruntime_root = "/r"\n[runtime.runtimes.runc]',
    )
    directory = tmp_path / "conf.d"
    write(
        directory / "x.conf",
        '[crio.runtime.runtimes.crun]\nruntime_path = "/b"\ndefault_annotations = { "a.b/c" = "1" }',
    )
    runtimes = load(file, directory).config.runtime.runtimes
    assert list(runtimes) == ["crun", "runc"]
    assert runtimes["crun"].runtime_path == Path("/b")
    assert runtimes["crun"].runtime_root == Path("/r")
    assert runtimes["crun"].default_annotations == {"a.b/c": "1"}
    assert runtimes["runc"].runtime_path is None


def test_overrides_win_over_files(tmp_path: Path) -> None:
    file = write(tmp_path / "main.conf", 'root = "/a"\n[runtime.runtimes."x.y"]')
    overrides = {
        "root": Path("/b"),
        "crio.runtime.log_level": "debug",
        "runtime.runtimes.x.y.runtime_path": "/x",
        "network.plugin_dirs": [Path("/p")],
    }
    loaded = load(file, None, overrides)
    assert loaded.config.root == Path("/b")
    assert loaded.config.runtime.log_level == "debug"
    assert loaded.config.runtime.runtimes["x.y"].runtime_path == Path("/x")
    assert loaded.config.network.plugin_dirs == (Path("/p"),)
    assert loaded.sources["crio.root"] == "command line"


def test_an_unknown_key_is_named_with_file_line_table_and_the_nearest(tmp_path: Path) -> None:
    assert problems(tmp_path, '# a comment\n[crio.runtime]\n\nlog_levle = "debug"') == [
        'podwright.conf:4: crio.runtime.log_levle: unknown key; did you mean "log_level"?'
    ]


def test_the_nearest_may_be_in_another_table(tmp_path: Path) -> None:
    """The header was forgotten."""
    assert problems(tmp_path, 'log_levle = "debug"') == [
        'podwright.conf:1: crio.log_levle: unknown key; did you mean "log_level" in [crio.runtime]?'
    ]
    assert problems(tmp_path, "[crio.image]\nrunttime_path = 1") == [
        "podwright.conf:2: crio.image.runttime_path: unknown key; "
        'did you mean "runtime_path" in [crio.runtime.runtimes.NAME]?'
    ]
    assert problems(tmp_path, "[crio.image]\nzzz = 1") == ["podwright.conf:2: crio.image.zzz: unknown key"]


def test_a_key_of_another_table_is_sent_there(tmp_path: Path) -> None:
    assert problems(tmp_path, '[runtime]\npause_image = "p"') == [
        "podwright.conf:2: crio.runtime.pause_image: unknown key; it belongs in [crio.image]"
    ]
    assert problems(tmp_path, '[runtime]\nruntime_path = "p"') == [
        "podwright.conf:2: crio.runtime.runtime_path: unknown key; it belongs in [crio.runtime.runtimes.NAME]"
    ]


def test_an_unknown_table_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    assert problems(tmp_path, "[crio.netwrok]\nx = 1") == [
        'podwright.conf:1: crio.netwrok: unknown key; did you mean "network"?'
    ]


def test_type_errors_name_what_was_expected_and_found(tmp_path: Path) -> None:
    assert problems(tmp_path, '[crio.runtime]\npids_limit = "5"') == [
        'podwright.conf:2: crio.runtime.pids_limit: expected a whole number, got a text, "5"'
    ]
    assert problems(tmp_path, "crio = 5") == ["podwright.conf: crio must be a table"]
    assert problems(tmp_path, "runtime = 5") == ["podwright.conf:1: crio.runtime must be a table"]


def test_all_problems_of_all_files_are_shown_at_once(tmp_path: Path) -> None:
    file = write(tmp_path / "a.conf", "[runtime]\nx1 = 1\npids_limit = true")
    directory = tmp_path / "conf.d"
    write(directory / "b.conf", "[image]\nx2 = 1")
    write(directory / "c.conf", "[image\n")
    with pytest.raises(BadConfiguration) as caught:
        load(file, directory)
    assert [line.split(":")[0] for line in caught.value.problems] == [
        str(file),
        str(file),
        str(directory / "b.conf"),
        str(directory / "c.conf"),
    ]


def test_the_same_key_in_both_spellings_is_an_error(tmp_path: Path) -> None:
    text = "[crio.runtime]\npids_limit = 1\n[runtime]\npids_limit = 2"
    assert problems(tmp_path, text) == [
        f"podwright.conf:4: crio.runtime.pids_limit is given twice, first at {tmp_path}/podwright.conf:2"
    ]


def test_keys_of_crio_without_effect_become_one_warning(tmp_path: Path) -> None:
    text = """
[crio]
version_file = "/x"
[crio.runtime]
conmon = "/usr/bin/conmon"
hooks_dir = ["/x"]
[crio.runtime.workloads.management]
activation_annotation = "x"
[crio.runtime.runtimes.runc]
monitor_path = "/usr/bin/conmon"
[crio.nri]
enable_nri = true
[crio.nri.default_validator]
nri_enable_default_validator = false
"""
    (warning,) = read(tmp_path, text).warnings
    for key in (
        "crio.version_file",
        "crio.runtime.conmon",
        "crio.runtime.hooks_dir",
        "crio.runtime.workloads",
        "crio.runtime.runtimes.runc.monitor_path",
        "crio.nri",
    ):
        assert key in warning


def test_keys_of_earlier_releases_of_crio_have_no_effect_either(tmp_path: Path) -> None:
    text = """
[crio]
file_locking = false
file_locking_path = "/run/crio.lock"
[crio.api]
host_ip = ["192.0.2.1"]
[crio.runtime]
manage_network_ns_lifecycle = true
manage_ns_lifecycle = true
seccomp_use_default_when_empty = true
[crio.image]
registries = []
"""
    (warning,) = read(tmp_path, text).warnings
    assert "no effect" in warning
    for key in (
        "crio.file_locking",
        "crio.api.host_ip",
        "crio.runtime.manage_ns_lifecycle",
        "crio.image.registries",
    ):
        assert key in warning


def test_times_that_crio_would_raise_are_raised_with_a_warning(tmp_path: Path) -> None:
    text = (
        "[crio.runtime]\nctr_stop_timeout = 0\n[crio.runtime.runtimes.runc]\ncontainer_create_timeout = 10\n"
    )
    loaded = read(tmp_path, text)
    assert loaded.config.runtime.ctr_stop_timeout == 30.0
    assert loaded.config.runtime.runtimes["runc"].container_create_timeout == 30.0
    assert [warning.partition(" is less")[0] for warning in loaded.warnings] == [
        f"{tmp_path}/podwright.conf:2: crio.runtime.ctr_stop_timeout: 0 s",
        f"{tmp_path}/podwright.conf:4: crio.runtime.runtimes.runc.container_create_timeout: 10 s",
    ]


def test_a_missing_file_or_directory_that_was_named_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="No such file"):
        load(tmp_path / "absent.conf")
    file = write(tmp_path / "a.conf", "")
    with pytest.raises(BadConfiguration, match="no such directory"):
        load(file, tmp_path / "absent.d")


def test_values_that_contradict_each_other_name_their_file(tmp_path: Path) -> None:
    assert problems(tmp_path, "[crio.runtime]\nlog_size_max = 5") == [
        "podwright.conf:2: crio.runtime.log_size_max: must be -1 or at least 8192 bytes"
    ]


def test_handlers_of_type_vm_are_left_out_with_a_warning(tmp_path: Path) -> None:
    loaded = read(tmp_path, '[crio.runtime.runtimes.kata]\nruntime_type = "vm"\n[crio.runtime.runtimes.crun]')
    assert list(loaded.config.runtime.runtimes) == ["crun"]
    assert ["kata" in warning for warning in loaded.warnings] == [True]


def test_empty_durations_and_sizes_of_zero_mean_the_default(tmp_path: Path) -> None:
    api = read(tmp_path, '[crio.api]\nstream_idle_timeout = ""\ngrpc_max_recv_msg_size = 0').config.api
    assert api == Config().api


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("runtime.log_level=debug", ("runtime.log_level", "debug")),
        ("runtime.pids_limit=5", ("runtime.pids_limit", 5)),
        ('network.plugin_dirs=["/a"]', ("network.plugin_dirs", ["/a"])),
        ("image.pause_image=", ("image.pause_image", "")),
        ("runtime.x=a=b", ("runtime.x", "a=b")),
    ],
)
def test_overrides_are_toml_or_else_text(text: str, parsed: tuple[str, object]) -> None:
    assert parse_override(text) == parsed


def test_an_override_without_an_equals_sign_is_refused() -> None:
    with pytest.raises(BadConfiguration, match=r"table\.key=value"):
        parse_override("runtime.log_level")


def test_an_override_cannot_inject_further_keys() -> None:
    assert parse_override("root=1\nrunroot=2") == ("root", "1\nrunroot=2")


def test_an_existing_crio_conf_loads_and_says_what_has_no_effect() -> None:
    loaded = load(Path(__file__).with_name("crio.conf"))
    assert "these keys of CRI-O have no effect" in loaded.warnings[0]
    assert '"io.containers.trace-syscall" has no effect yet' in loaded.warnings[1]
    assert len(loaded.warnings) == 2
    assert loaded.config.runtime.default_capabilities == ("CHOWN", "KILL")
    assert loaded.config.runtime.runtimes["crun"].runtime_root == Path("/run/crun")
    assert loaded.config.runtime.apparmor_profile == "crio-default"
