"""cri/image_options: every option of [crio.image] reaches the store."""

from dataclasses import replace
from pathlib import Path

from conf.schema import Config, ImageTable
from conf.values import Seconds
from cri.image_options import image_options
from storage.catalogue import is_pinned


def test_the_stores_options_are_those_of_the_configuration() -> None:
    table = ImageTable(
        registries_conf=Path("/r.conf"),
        registries_conf_dir=Path("/r.d"),
        insecure_registries=("a.test:5000",),
        global_auth_file=Path("/auth.json"),
        short_name_mode="disabled",
        pinned_images=("keep",),
        pause_image="pause",
        pull_progress_timeout=Seconds(7),
        pull_minimum_rate=500,
        pull_deadline=Seconds(8),
        pull_abandoned_timeout=Seconds(9),
    )
    options = image_options(replace(Config(), image=table))
    assert options.registries_conf == Path("/r.conf")
    assert options.registries_conf_dir == Path("/r.d")
    assert options.insecure_registries == ("a.test:5000",)
    assert options.auth_files == (Path("/auth.json"),)
    assert not options.short_names_enforcing
    assert options.pinned_images == ("keep", "pause")
    assert options.client.stall_timeout_s == 7
    assert options.client.minimum_rate == 500
    assert (options.pull_deadline_s, options.abandoned_s) == (8, 9)


def test_a_pause_image_is_pinned_whether_or_not_one_is_configured() -> None:
    pinned = image_options(Config()).pinned_images
    assert is_pinned(["registry.k8s.io/pause:3.10.1"], pinned)
    assert not is_pinned(["registry.k8s.io/pauser:1", "quay.io/pause:1"], pinned)
    own = replace(ImageTable(), pause_image="quay.io/own/pause:1", pinned_images=("quay.io/a",))
    pinned = image_options(replace(Config(), image=own)).pinned_images
    assert is_pinned(["quay.io/own/pause:1"], pinned)
    assert not is_pinned(["registry.k8s.io/pause:3.10.1"], pinned)
