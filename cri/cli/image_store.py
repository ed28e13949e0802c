"""What the command line shows and does about the store as a whole: usage, unused images, broken layers."""

import asyncio
from collections.abc import Sequence

from conf.schema import Config
from cri.cli.output import show
from cri.cli.privilege import require_root
from cri.image_options import image_options
from cri.logs import set_up
from storage.catalogue import Image
from storage.images import Images
from storage.usage import ImageUsage, LayerUsage, by_image
from storage.verify import State, Verdict, layers_of, names_of

_SHORT = 13


async def show_usage(store: Images, form: str, *, layers: bool) -> None:
    """What images, or layers, take."""
    images = store.list()
    by_layers = await asyncio.to_thread(store.layer_usage)
    if layers:
        show(form, [_layer_fields(layer) for layer in by_layers], map(_layer_line, by_layers))
        return
    usage = by_image(images, by_layers)
    total = sum(layer.disk_bytes for layer in by_layers)
    document = {"images": [_usage_fields(each) for each in usage], "totalBytes": total}
    show(form, document, [*map(_usage_line, usage), f"{_megabytes(total)}  all layers, each once"])


async def prune(store: Images, form: str, *, named: bool, dry_run: bool) -> None:
    """Remove what nobody has; the outcome lists it."""
    images = store.unused(named=named)
    if not dry_run:
        for image in images:
            await store.remove(image.id)
        await store.settle()
    show(form, [image.id for image in images], (f"{_short(image.id)}  {names_of(image)}" for image in images))


async def verify(store: Images, images: Sequence[Image], form: str) -> bool:
    """Examine the layers of images; whether one is broken."""
    verdicts = await _examine(store, images)
    return _tell(images, verdicts, form, repaired=None)


def check(config: Config, form: str, *, repair: bool) -> bool:
    """``podwright check --storage``; whether something is broken still."""
    require_root("check --storage", "its store is for root alone")
    set_up("error", "text")
    return asyncio.run(_check(config, form, repair=repair))


async def _check(config: Config, form: str, *, repair: bool) -> bool:
    store = await Images.open(config.root, image_options(config))
    try:
        images = store.list()
        verdicts = await _examine(store, images)
        repaired = None
        if repair:
            repaired = await store.verifier().drop(verdicts)
            unreadable = [image for image in images if image.fault and image not in repaired]
            for image in unreadable:
                await store.remove(image.id)
            repaired += unreadable
            await store.settle()
        return _tell(images, verdicts, form, repaired=repaired)
    finally:
        await store.close()


async def _examine(store: Images, images: Sequence[Image]) -> list[Verdict]:
    """One layer after the other: a disk has one head, or shares its channels with the pods."""
    verifier = store.verifier()
    return [await asyncio.to_thread(verifier.verify, chain_id) for chain_id in layers_of(images)]


def _tell(
    images: Sequence[Image], verdicts: Sequence[Verdict], form: str, *, repaired: Sequence[Image] | None
) -> bool:
    bad = {verdict.chain_id: verdict for verdict in verdicts if verdict.bad}
    broken = [image for image in images if image.fault or bad.keys() & set(image.layers)]
    document = {
        "ok": not broken,
        "layers": [
            {"chainId": str(each.chain_id), "state": each.state, "reason": each.reason} for each in verdicts
        ],
        "broken": [{"id": image.id, "names": names_of(image)} for image in broken],
        "removed": [image.id for image in repaired or ()],
    }
    show(form, document, _lines(broken, verdicts, repaired=repaired))
    return (
        bool(broken)
        if repaired is None
        else not {image.id for image in broken} <= {image.id for image in repaired}
    )


def _lines(
    broken: Sequence[Image], verdicts: Sequence[Verdict], *, repaired: Sequence[Image] | None
) -> list[str]:
    lines = [f"{verdict.chain_id}  {verdict.reason}" for verdict in verdicts if verdict.bad]
    for image in broken:
        what = f": {image.fault}" if image.fault else ""
        gone = repaired is not None and image in repaired
        way = "was removed, pull it again" if gone else "is broken: podwright check --storage --repair"
        lines.append(f"{names_of(image)} ({_short(image.id)}) {way}{what}")
    fresh = sum(verdict.state is State.NEW for verdict in verdicts)
    lines.append(
        f"layers read: {len(verdicts)}, broken: {sum(verdict.bad for verdict in verdicts)}"
        + (f", recorded for the first time: {fresh}" if fresh else "")
    )
    return lines


def _layer_fields(layer: LayerUsage) -> dict[str, object]:
    return {
        "chainId": str(layer.chain_id),
        "bytes": layer.disk_bytes,
        "inodes": layer.inodes,
        "images": list(layer.images),
    }


def _layer_line(layer: LayerUsage) -> str:
    whose = " ".join(map(_short, layer.images)) or "(containers only)"
    return f"{_short(str(layer.chain_id))}  {_megabytes(layer.disk_bytes)}  {layer.inodes:7d} inodes  {whose}"


def _usage_fields(usage: ImageUsage) -> dict[str, object]:
    return {
        "id": usage.image.id,
        "repoTags": list(usage.image.repo_tags),
        "uniqueBytes": usage.unique_bytes,
        "sharedBytes": usage.shared_bytes,
    }


def _usage_line(usage: ImageUsage) -> str:
    own, shared = _megabytes(usage.unique_bytes), _megabytes(usage.shared_bytes)
    return f"{_short(usage.image.id)}  {own} own  {shared} shared  {names_of(usage.image)}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:8.1f} MB"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_SHORT]
