"""``podwright check`` on the files that pulls and devices are decided by."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conf.schema import Config, ImageTable, MetricsTable, RuntimeTable
from conf.values import DeviceRule
from cri.cli.examine import files
from cri.cli.examine.findings import Finding, Level

Examine = Callable[[Config], Iterator[Finding]]


def images(**values: object) -> Config:
    return replace(Config(), image=replace(ImageTable(), **values))  # type: ignore[arg-type]


def found(examined: Iterator[Finding]) -> list[tuple[Level, str, str]]:
    return [(each.level, each.subject, each.text) for each in examined]


@pytest.mark.parametrize(
    ("text", "level", "words"),
    [
        ("", Level.OK, "registries.conf"),
        ("new = 1", Level.WARNING, "unknown key 'new'"),
        ("x = [", Level.FAILS, "no image can be pulled"),
        ("[[registry]]\ninsecure = true", Level.FAILS, "needs location or prefix"),
    ],
)
def test_registries_conf_is_parsed(tmp_path: Path, text: str, level: Level, words: str) -> None:
    file = tmp_path / "registries.conf"
    file.write_text(text)
    first = found(files.registries_conf(images(registries_conf=file)))[0]
    assert first[0] is level
    assert words in first[2]


def test_a_registries_conf_that_is_not_there_is_no_finding(tmp_path: Path) -> None:
    assert found(files.registries_conf(images(registries_conf=tmp_path / "none"))) == []


@pytest.mark.parametrize(
    ("document", "level", "words"),
    [
        ({"auths": {"quay.io": {"auth": "YTpi"}}}, Level.OK, "auth.json"),
        ({"auths": {"quay.io": {"auth": "%"}}}, Level.WARNING, "quay.io: auth is not base64"),
        ({"auths": []}, Level.WARNING, "auths is not an object"),
        ({"credHelpers": {"gcr.io": "gcloud"}}, Level.OK, "auth.json"),
        ([], Level.WARNING, "not a JSON object"),
    ],
)
def test_files_of_credentials_are_parsed(tmp_path: Path, document: object, level: Level, words: str) -> None:
    file = tmp_path / "auth.json"
    file.write_text(json.dumps(document))
    for examined in (
        files.auth_files(images(global_auth_file=file)),
        files.auth_files(Config(), lambda: [tmp_path / "none", file]),
    ):
        ((seen, _, text),) = found(examined)
        assert seen is level
        assert words in text


def test_a_configured_file_of_credentials_that_is_missing_is_a_warning(tmp_path: Path) -> None:
    ((level, subject, _),) = found(files.auth_files(images(global_auth_file=tmp_path / "none")))
    assert (level, subject) == (Level.WARNING, "global_auth_file")


def test_certificates_of_registries_are_parsed(tmp_path: Path) -> None:
    assert found(files.certificates([tmp_path / "none"])) == []
    place = tmp_path / "reg.test"
    place.mkdir()
    assert found(files.certificates([tmp_path])) == [(Level.OK, "certs.d", str(place))]
    (place / "ca.crt").write_text("no PEM")
    ((level, _, text),) = found(files.certificates([tmp_path]))
    assert level is Level.WARNING
    assert text.startswith(f"{place}/ca.crt is no authority")


@pytest.mark.parametrize(
    ("text", "level", "words"),
    [
        ('{"default": [{"type": "insecureAcceptAnything"}]}', Level.OK, "policy.json"),
        ('{"default": [{"type": "reject"}]}', Level.OK, "policy.json"),
        (
            '{"default": [{"type": "signedBy", "keyType": "X509Certificates", "keyData": "AA=="}]}',
            Level.WARNING,
            "wants what nobody can do of all images",
        ),
        (
            '{"default":[{"type":"reject"}],"transports":{"docker":{"quay.io":[{"type":"signedBaseLayer",'
            '"baseLayerIdentity":{"type":"matchExact"}}]}}}',
            Level.WARNING,
            "wants what nobody can do of quay.io",
        ),
        (
            '{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/no/such/key"}]}',
            Level.WARNING,
            "what it trusts cannot be read: /no/such/key: No such file",
        ),
        ('{"default": [{"type": "signedBy"}]}', Level.FAILS, "no image can be pulled: invalid policy in"),
        ("{", Level.FAILS, "no image can be pulled"),
    ],
)
def test_the_policy_is_parsed(tmp_path: Path, text: str, level: Level, words: str) -> None:
    file = tmp_path / "policy.json"
    file.write_text(text)
    first = found(files.policy(images(signature_policy_dir=None), file))[0]
    assert first[0] is level
    assert words in first[2]


SIMPLE = '{"type": "signedBy", "keyType": "GPGKeys", "keyData": "AA=="}'
FREE = '{"type": "insecureAcceptAnything"}'
BY_COSIGN = '{"type": "sigstoreSigned", "keyData": "AA=="}'


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f'{{"default": [{SIMPLE}]}}', ["gpgv", "prlimit"]),
        (
            f'{{"default": [{FREE}], "transports": {{"docker": {{"quay.io": [{SIMPLE}]}}}}}}',
            ["gpgv", "prlimit"],
        ),
        (f'{{"default": [{BY_COSIGN}]}}', []),
        (f'{{"default": [{FREE}]}}', []),
    ],
)
@pytest.mark.parametrize("there", [(), ("gpgv",), ("prlimit",), ("gpgv", "prlimit")])
@pytest.mark.parametrize("place", ["machine", "configured", "namespace"])
def test_programs_are_missed_where_a_policy_wants_simple_signatures(
    tmp_path: Path, text: str, wanted: list[str], there: tuple[str, ...], place: str
) -> None:
    file = tmp_path / "team.json"
    file.write_text(text)
    config = images(
        signature_policy=file if place == "configured" else None,
        signature_policy_dir=tmp_path if place == "namespace" else None,
    )
    machine = file if place == "machine" else tmp_path / "none"
    said = found(files.policy(config, machine, lambda name: name if name in there else None))
    missed = [text.split(" is not found")[0].split()[-1] for _, _, text in said if "is not found" in text]
    assert missed == [program for program in wanted if program not in there]
    assert any(level is Level.OK for level, _, _ in said) is not bool(missed)


@pytest.mark.parametrize(
    ("config", "subject"),
    [
        (images(pause_image="Quay.io/UPPER"), "pause_image"),
        (images(pinned_images=("quay.io/a:1", "bad name")), "pinned_images"),
        (images(insecure_registries=("https://a.test",)), "insecure_registries"),
    ],
)
def test_names_of_images_are_parsed(config: Config, subject: str) -> None:
    ((level, seen, _),) = found(files.image_names(config))
    assert (level, seen) == (Level.WARNING, subject)


def test_good_names_are_no_findings() -> None:
    config = images(
        pause_image="registry.k8s.io/pause:3.10",
        pinned_images=("quay.io/a*", "*pause*", "quay.io/a@sha256:" + "0" * 64),
        insecure_registries=("a.test:5000", "10.0.0.1", "localhost:5000"),
    )
    assert found(files.image_names(config)) == []


def test_cdi_files_are_parsed(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    config = replace(Config(), runtime=replace(RuntimeTable(), cdi_spec_dirs=(tmp_path,)))
    ((level, _, text),) = found(files.cdi_files(config))
    assert level is Level.WARNING
    assert str(tmp_path / "bad.json") in text


def test_a_device_that_is_not_there_fails(tmp_path: Path) -> None:
    rules = (DeviceRule(Path("/dev/null"), Path("/dev/null")), DeviceRule(tmp_path / "x", tmp_path / "x"))
    config = replace(Config(), runtime=replace(RuntimeTable(), additional_devices=rules))
    ((level, _, text),) = found(files.devices(config))
    assert level is Level.FAILS
    assert str(tmp_path / "x") in text


def test_metrics_that_there_are_not_are_named_if_any_are_served() -> None:
    names = ("operations_total", "container_runtime_crio_processes_defunct", "no_such")
    table = replace(MetricsTable(), metrics_collectors=names)
    assert found(files.collectors(replace(Config(), metrics=table))) == []
    config = replace(Config(), metrics=replace(table, enable_metrics=True))
    assert found(files.collectors(config)) == [
        (Level.WARNING, "metrics_collectors", "there is no metric no_such")
    ]
