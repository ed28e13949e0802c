"""Files as they are found on nodes of CRI-O: what loads, what is said, and what stops the start."""

import re
from pathlib import Path

import pytest

from conf import unsupported
from conf.annotations import WITHOUT_EFFECT, has_effect
from conf.load import BadConfiguration, Loaded, load
from conf.unsupported import ANY_KEY, UNSUPPORTED
from tests.unit.conf import crio_defaults


def read(tmp_path: Path, text: str, later: str = "") -> Loaded:
    (tmp_path / "crio.conf.d").mkdir()
    (tmp_path / "crio.conf").write_text(text)
    (tmp_path / "crio.conf.d/90-own").write_text(later)
    return load(tmp_path / "crio.conf", tmp_path / "crio.conf.d")


def refused(tmp_path: Path, text: str, later: str = "") -> str:
    with pytest.raises(BadConfiguration) as caught:
        read(tmp_path, text, later)
    (problem,) = caught.value.problems
    return problem


@pytest.fixture(autouse=True)
def node_without_selinux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsupported, "SELINUX", tmp_path / "no-selinux")


@pytest.mark.parametrize("minor", range(crio_defaults.FIRST, crio_defaults.LAST + 1))
def test_the_sample_of_every_release_loads(tmp_path: Path, minor: int) -> None:
    loaded = read(tmp_path, crio_defaults.sample(minor))
    assert list(loaded.config.runtime.runtimes) == ["crun"]
    assert loaded.config.runtime.timezone == ""


def test_keys_that_the_sample_prints_below_another_table_have_no_effect_there(tmp_path: Path) -> None:
    text = '[crio.runtime.runtimes.crun]\ntimezone = "Local"\ndisable_hostport_mapping = true\n'
    loaded = read(tmp_path, text + "[crio.network]\nincluded_pod_metrics = []\n")
    assert loaded.config.runtime.timezone == ""
    assert not loaded.config.runtime.disable_hostport_mapping
    (warning,) = loaded.warnings
    assert "it belongs in [crio.runtime]" in warning
    assert "it belongs in [crio.stats]" in warning


def test_what_openshift_puts_on_a_node_loads(tmp_path: Path) -> None:
    loaded = read(tmp_path, crio_defaults.sample(crio_defaults.LAST), crio_defaults.OPENSHIFT)
    assert loaded.config.api.stream_address == ""
    assert loaded.config.runtime.runtimes["crun"].default_annotations == {"run.oci.systemd.subgroup": ""}


def test_keys_since_1_9_that_are_gone_load_without_effect(tmp_path: Path) -> None:
    (warning,) = read(tmp_path, crio_defaults.OLD).warnings
    for key in re.findall(r"^(\w+) =", crio_defaults.OLD, re.MULTILINE):
        assert key in warning or key == "nri_config_file"  # [crio.nri] is named as a whole


@pytest.mark.parametrize("table", ["crio.runtime.runtimes.crun", "crio.runtime.workloads.builder"])
def test_every_allowed_annotation_without_effect_is_named(tmp_path: Path, table: str) -> None:
    names = ["io.containers.trace-syscall", "io.kubernetes.cri-o.LinkLogs", "umask.crio.io"]
    loaded = read(tmp_path, f"[{table}]\nallowed_annotations = {names!r}\n".replace("'", '"'))
    told = [warning for warning in loaded.warnings if "allowed_annotations" in warning]
    assert told == [
        f'{tmp_path}/crio.conf:2: {table}.allowed_annotations: "{name}" has no effect yet' for name in names
    ]


def test_an_allowed_annotation_with_effect_is_no_warning(tmp_path: Path) -> None:
    honoured = (
        "run.oci.",
        "run.oci.handler",
        "org.systemd.property.",
        "io.kubernetes.cri-o.Devices",
        "own/x",
    )
    names = ", ".join(f'"{name}"' for name in honoured)
    assert read(tmp_path, f"[crio.runtime.runtimes.crun]\nallowed_annotations = [{names}]\n").warnings == ()


@pytest.mark.parametrize(
    "name", [*WITHOUT_EFFECT, "io.kubernetes.cri-o.UnifiedCgroup.web", "umask.crio.io/web"]
)
def test_a_name_that_only_crio_acts_on_has_no_effect(name: str) -> None:
    assert not has_effect(name)
    assert not has_effect(name.upper())


@pytest.mark.parametrize("name", ["", " ", "\t"])
def test_an_empty_name_would_let_everything_pass_and_is_refused(tmp_path: Path, name: str) -> None:
    problem = refused(tmp_path, f"[crio.runtime.runtimes.crun]\nallowed_annotations = ['{name}']\n")
    assert "an empty name lets every annotation pass" in problem


WEAKER = [
    ('[crio.runtime]\ndecryption_keys_path = "FULL"', 'set it to ""'),
    ('[crio.runtime]\nprivileged_seccomp_profile = "/etc/p.json"', 'set it to ""'),
    ("[crio.runtime]\nselinux = true", "set it to false"),
    ("[crio.runtime]\nhostnetwork_disable_selinux = false", "set it to true"),
    ('[crio.runtime]\nuid_mappings = "0:100000:65536"', "hostUsers"),
    ('[crio.runtime]\ngid_mappings = "0:100000:65536"', "hostUsers"),
    ("[crio.runtime]\nminimum_mappable_uid = 100000", "set it to -1"),
    ("[crio.runtime]\nminimum_mappable_gid = 0", "set it to -1"),
    ('[crio.api]\ntls_cipher_suites = ["TLS_AES_256_GCM_SHA384"]', "tls_min_version"),
    ("[crio.nri.default_validator]\nnri_enable_default_validator = true", "remove the key"),
    ('[crio.nri.default_validator]\nnri_validator_required_plugins = ["a"]', "remove the key"),
    ("[crio.nri.default_validator]\nnri_validator_reject_namespace_adjustment = true", "remove the key"),
    ("[crio.nri.default_validator]\nnri_validator_reject_of_tomorrow = true", "remove the key"),
]


@pytest.mark.parametrize(("text", "way_out"), WEAKER)
def test_a_key_whose_neglect_weakens_the_node_stops_the_start(
    tmp_path: Path, text: str, way_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/kube-system.json").touch()
    monkeypatch.setattr(unsupported, "SELINUX", tmp_path / "full")
    problem = refused(tmp_path, text.replace("FULL", str(tmp_path / "full")))
    assert problem.startswith(f"{tmp_path}/crio.conf:2: crio.")
    assert "not supported yet, and" in problem
    assert way_out in problem


def test_every_dangerous_key_is_in_the_table_above() -> None:
    dangerous = {key for keys in UNSUPPORTED.values() for key, each in keys.items() if each.danger}
    shown = {line.split(" = ")[0] for text, _ in WEAKER for line in text.splitlines()[1:]}
    rejects = {key for key in dangerous if key.startswith("nri_validator_reject")}
    assert dangerous - rejects - {ANY_KEY} <= shown


@pytest.mark.parametrize("directory", ["", "EMPTY", "/no/such/directory"])
@pytest.mark.parametrize("key", ["crio.runtime]\ndecryption_keys_path"])
def test_a_directory_without_files_asks_for_nothing(tmp_path: Path, key: str, directory: str) -> None:
    (tmp_path / "empty").mkdir()
    path = directory.replace("EMPTY", str(tmp_path / "empty"))
    assert len(read(tmp_path, f'[{key} = "{path}"\n').warnings) == 1


def test_the_last_file_decides_on_a_dangerous_key(tmp_path: Path) -> None:
    text = '[crio.runtime]\nprivileged_seccomp_profile = "{}"\n'
    assert len(read(tmp_path, text.format("/p.json"), text.format("")).warnings) == 1
    other = tmp_path / "other"
    other.mkdir()
    assert "90-own:2" in refused(other, text.format(""), text.format("/p.json"))


@pytest.mark.parametrize(
    ("table", "line", "expected"),
    [
        ("crio", "internal_wipe = 1", "true or false"),
        ("crio", 'storage_option = "a"', "a list"),
        ("crio.api", "tls_cipher_suites = true", "a list"),
        ("crio.runtime", 'selinux = "true"', "true or false"),
        ("crio.runtime", 'min_injected_gomaxprocs = "2"', "a whole number"),
        ("crio.runtime", "hooks_dir = 5", "a list"),
        ("crio.runtime.runtimes.crun", 'exec_cpu_affinity = "last"', '"first"'),
        ("crio.runtime.runtimes.crun", "platform_runtime_paths = []", "a table"),
        ("crio.runtime.workloads.a", 'allowed_annotations = "x"', "a list"),
        ("crio.runtime.workloads.a", "activation_annotation = 5", "a text"),
        ("crio.checkpoint_restore", "container_level_enabled = true", '"checkpoint_only"'),
        ("crio.checkpoint_restore", 'container_level_enabled = "all"', '"none"'),
        ("crio.network", 'cni_status_grace_period = "soon"', "a duration"),
        ("crio.stats", 'collection_period = "5s"', "a whole number"),
        ("crio.tracing", 'enable_tracing = "yes"', "true or false"),
        ("crio.nri", 'nri_plugin_request_timeout = "x"', "a duration"),
        ("crio.nri.default_validator", 'nri_enable_default_validator = "true"', "true or false"),
    ],
)
def test_keys_without_effect_have_their_type_all_the_same(
    tmp_path: Path, table: str, line: str, expected: str
) -> None:
    problem = refused(tmp_path, f"[{table}]\n{line}\n")
    assert problem.startswith(f"{tmp_path}/crio.conf:2: {table}.{line.split()[0]}: expected")
    assert expected in problem


@pytest.mark.parametrize("table", ["nri", "stats", "checkpoint_restore", "nri.default_validator"])
def test_a_table_without_effect_must_be_a_table(tmp_path: Path, table: str) -> None:
    assert refused(tmp_path, f"[crio]\n{table} = 5\n").endswith(f"crio.{table} must be a table")
