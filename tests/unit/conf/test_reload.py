"""conf/reload: what takes effect at once and what waits for a restart."""

from dataclasses import replace
from pathlib import Path

from conf.reload import merge
from conf.schema import Config, ImageTable, RuntimeHandler, RuntimeTable
from conf.values import Seconds

RUNNING = Config(runtime=RuntimeTable(runtimes={"own": RuntimeHandler(), "old": RuntimeHandler()}))


def test_the_same_configuration_changes_nothing() -> None:
    reloaded = merge(RUNNING, RUNNING)
    assert reloaded.config == RUNNING
    assert (reloaded.applied, reloaded.waiting) == ((), ())


def test_each_change_is_applied_or_named_as_waiting() -> None:
    wanted = replace(
        RUNNING,
        root=Path("/elsewhere"),
        image=ImageTable(pause_image="p", insecure_registries=("r.test",)),
        runtime=replace(RUNNING.runtime, log_level="debug", no_pivot=True),
    )
    reloaded = merge(RUNNING, wanted)
    assert reloaded.applied == ("crio.runtime.log_level", "crio.image.pause_image")
    assert set(reloaded.waiting) == {"crio.root", "crio.runtime.no_pivot", "crio.image.insecure_registries"}
    expected = replace(
        RUNNING,
        image=ImageTable(pause_image="p"),
        runtime=replace(RUNNING.runtime, log_level="debug"),
    )
    assert reloaded.config == expected


def test_handlers_are_changed_and_added_and_kept_until_the_restart() -> None:
    changed = RuntimeHandler(container_create_timeout=Seconds(60), runtime_root=Path("/r"))
    added = RuntimeHandler(runtime_path=Path("/usr/bin/kata"))
    wanted = replace(RUNNING, runtime=RuntimeTable(runtimes={"own": changed, "new": added}))
    reloaded = merge(RUNNING, wanted)
    assert reloaded.config.runtime.runtimes == {
        "own": RuntimeHandler(container_create_timeout=Seconds(60)),
        "old": RuntimeHandler(),
        "new": added,
    }
    assert set(reloaded.applied) == {
        "crio.runtime.runtimes.own.container_create_timeout",
        "crio.runtime.runtimes.new",
    }
    assert set(reloaded.waiting) == {"crio.runtime.runtimes.own.runtime_root", "crio.runtime.runtimes.old"}
