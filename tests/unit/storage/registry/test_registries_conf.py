"""storage/registry/registries_conf: where a name is asked for."""

import re
from pathlib import Path

import pytest

from storage.reference import Reference
from storage.registry.registries_conf import (
    AmbiguousShortName,
    BadRegistriesConf,
    PullSource,
    Registries,
    RegistryBlocked,
)

DIGEST = "@sha256:" + "0" * 64
CONF = """
unqualified-search-registries = ["registry.test", "docker.io"]
[aliases]
"app" = "quay.io/team/app"
[[registry]]
prefix = "quay.io/team"
location = "internal.test:5000/mirror"
[[registry.mirror]]
location = "m1.test/team"
insecure = true
[[registry.mirror]]
location = "m2.test"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "m3.test"
pull-from-mirror = "tag-only"
[[registry]]
location = "quay.io"
blocked = true
[[registry]]
prefix = "*.wild.test"
location = "w.test/x"
[[registry]]
prefix = "k8s.test"
location = "127.0.0.1:5000/k8s.test"
insecure = true
[[registry]]
location = "digests.test"
mirror-by-digest-only = true
[[registry.mirror]]
location = "d.test"
"""
REGISTRIES = Registries().merged(CONF.encode(), "registries.conf")


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("other.test/a/b:1", ["other.test a/b"]),
        ("quay.io/team/app:1", ["m1.test team/app insecure", "m3.test app", "internal.test:5000 mirror/app"]),
        (
            "quay.io/team/app" + DIGEST,
            ["m1.test team/app insecure", "m2.test app", "internal.test:5000 mirror/app"],
        ),
        ("a.wild.test/y/z:1", ["w.test x/y/z"]),
        ("wild.test/y:1", ["wild.test y"]),
        ("k8s.test/pause:3", ["127.0.0.1:5000 k8s.test/pause insecure"]),
        ("digests.test/a:1", ["digests.test a"]),
        ("digests.test/a" + DIGEST, ["d.test a", "digests.test a"]),
        ("docker.io/busybox:1", ["docker.io library/busybox"]),
    ],
)
def test_where_to_ask(text: str, places: list[str]) -> None:
    found = REGISTRIES.sources(Reference.parse(text))
    assert [describe(source) for source in found] == places
    assert [source.is_mirror for source in found] == [True] * (len(found) - 1) + [False]


def describe(source: PullSource) -> str:
    return f"{source.host} {source.repository}{' insecure' if source.insecure else ''}"


@pytest.mark.parametrize("text", ["quay.io/x:1", "quay.io/teamster/app:1"])
def test_blocked(text: str) -> None:
    with pytest.raises(RegistryBlocked, match=r"blocks quay\.io"):
        REGISTRIES.sources(Reference.parse(text))


def test_short_names_by_alias_search_list_and_docker_hub() -> None:
    def names(registries: Registries, text: str) -> list[str]:
        return [str(reference) for reference in registries.candidates(Reference.parse(text))]

    assert names(REGISTRIES, "app:2") == ["quay.io/team/app:2"]
    assert names(REGISTRIES, "x") == ["registry.test/x", "docker.io/library/x"]
    assert names(REGISTRIES, "q.io/x") == ["q.io/x"]
    assert names(Registries(), "x") == ["docker.io/library/x"]


def test_enforcing_refuses_to_guess() -> None:
    with pytest.raises(AmbiguousShortName, match=r"registry\.test/x, docker\.io/library/x"):
        REGISTRIES.resolve(Reference.parse("x"))
    lenient = REGISTRIES.merged(b'short-name-mode = "disabled"', "drop-in")
    assert len(lenient.resolve(Reference.parse("x"))) == 2
    assert len(REGISTRIES.resolve(Reference.parse("app"))) == 1


def test_drop_ins_replace_rules_of_the_same_prefix(tmp_path: Path) -> None:
    conf = tmp_path / "registries.conf"
    assert Registries.load(conf) == Registries()
    conf.write_text('[[registry]]\nlocation = "a.test"\n[[registry]]\nlocation = "b.test"\n')
    (tmp_path / "registries.conf.d").mkdir()
    (tmp_path / "registries.conf.d/10.conf").write_text('[[registry]]\nlocation = "a.test"\nblocked = true\n')
    (tmp_path / "registries.conf.d/20.conf").write_text('unqualified-search-registries = ["c.test"]\n')
    (tmp_path / "registries.conf.d/ignored.txt").write_text("not toml")
    loaded = Registries.load(conf)
    assert [(rule.prefix, rule.blocked) for rule in loaded.rules] == [("a.test", True), ("b.test", False)]
    assert loaded.search == ("c.test",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = [", "here"),
        ("[registries.search]\nregistries = []\n[[registry]]\nlocation = 'a'", "version 1"),
        ("registries = ['a']", "version 1"),
        ("[registries]\nsearch = ['a']", "registries.search must be a table"),
        (
            "[registries.search]\nregistries = 'a'",
            r"\[registries.search\]: registries must be a list of strings",
        ),
        ("[[registry]]\ninsecure = true", "needs location or prefix"),
        ("[[registry]]\nlocation = 'https://a'", "scheme"),
        ("[[registry]]\nlocation = 'a'\nblocked = 'yes'", "true or false"),
        ("[[registry]]\nlocation = 'a'\n[[registry.mirror]]\ninsecure = true", "needs location"),
        (
            "[[registry]]\nlocation = 'a'\n[[registry.mirror]]\nlocation = 'b'\npull-from-mirror = 'x'",
            "pull-from",
        ),
        ("unqualified-search-registries = 'a'", "list of strings"),
        ("short-name-mode = 'maybe'", "maybe"),
        ("credential-helpers = 'secretservice'", "list of strings"),
        ("registry = 1", r"\[\["),
    ],
)
def test_bad_files_name_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(BadRegistriesConf, match=words) as caught:
        Registries().merged(text.encode(), "here")
    assert str(caught.value).startswith("here")


def test_an_insecure_registry_of_the_daemons_own_configuration_is_insecure_wherever_it_is_named() -> None:
    registries = Registries(insecure=frozenset({"other.test:5000", "m2.test"})).merged(CONF.encode(), "file")
    (plain,) = registries.sources(Reference.parse("other.test:5000/a/b:1"))
    assert plain.insecure
    (same_host_other_port,) = registries.sources(Reference.parse("other.test/a/b:1"))
    assert not same_host_other_port.insecure
    by_mirror = registries.sources(Reference.parse("quay.io/team/app" + DIGEST))
    assert [source.host for source in by_mirror if source.insecure] == ["m1.test", "m2.test"]


def test_drop_ins_come_from_the_directory_that_is_named(tmp_path: Path) -> None:
    for directory, registry in (("registries.conf.d", "beside.test"), ("elsewhere", "named.test")):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "1.conf").write_text(f'unqualified-search-registries = ["{registry}"]')
    file = tmp_path / "registries.conf"
    assert Registries.load(file).search == ("beside.test",)
    assert Registries.load(file, tmp_path / "elsewhere").search == ("named.test",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a-key-of-tomorrow = true", "here: unknown key 'a-key-of-tomorrow' is passed over"),
        ("[[registry]]\nlocation = 'a'\ninsecur = true", r"\[\[registry\]\]: unknown key 'insecur'"),
        (
            "[[registry]]\nlocation = 'a'\n[[registry.mirror]]\nlocation = 'b'\nnew = 1",
            r"\[\[registry.mirror\]\]: unknown key 'new'",
        ),
        ("[registries.search]\nregistries = ['a']", "version 1 of the format"),
    ],
)
def test_what_podman_passes_over_is_a_remark(text: str, words: str) -> None:
    (remark,) = Registries().merged(text.encode(), "here").remarks
    assert re.match(words if words.startswith("here") else f"here: .*{words}", remark)


def test_credential_helpers_are_those_of_the_last_file_that_names_some() -> None:
    usual = Registries().merged(b"", "here")
    named = usual.merged(b"credential-helpers = ['containers-auth.json', 'ecr-login']", "here")
    assert usual.helpers == ("containers-auth.json",)
    assert named.merged(b"credential-helpers = []", "there").helpers == ("containers-auth.json", "ecr-login")
    assert usual.remarks == named.remarks == ()


def test_version_1_means_what_it_meant() -> None:
    text = """
[registries.search]
registries = ["docker.io", "quay.io"]
[registries.insecure]
registries = ["plain.test:5000", "bad.test"]
[registries.block]
registries = ["bad.test"]
"""
    registries = Registries().merged(text.encode(), "here")
    assert registries.search == ("docker.io", "quay.io")
    (source,) = registries.sources(Reference.parse("plain.test:5000/a/b:1"))
    assert source.insecure
    with pytest.raises(RegistryBlocked):
        registries.sources(Reference.parse("bad.test/a:1"))


@pytest.mark.parametrize("obstacle", ["a directory", "too large"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, obstacle: str) -> None:
    file = tmp_path / "registries.conf"
    if obstacle == "a directory":
        file.mkdir()
    else:
        file.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(BadRegistriesConf, match=str(file)):
        Registries.load(file)
