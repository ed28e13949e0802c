"""The filters of ``podwright image list``, which are podman's."""

import fnmatch
from collections.abc import Callable, Iterable, Sequence

from api.errors import InvalidArgument, NotFound
from storage.catalogue import Image
from storage.images import Images

Wanted = Callable[[Image], bool]
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


class BadFilter(InvalidArgument):
    """A filter is none that is known."""


class NoSuchImage(NotFound):
    """A filter names an image that is not there."""


def filtered(store: Images, filters: Iterable[str]) -> list[Image]:
    """The images of a store of which all filters are true; several of one key are alternatives.

    Raises:
        BadFilter: one is not ``KEY=VALUE`` of a known key.
        NoSuchImage: see there.
    """
    images = store.list()
    by_key: dict[str, list[Wanted]] = {}
    for text in filters:
        key, _, value = text.partition("=")
        by_key.setdefault(key, []).append(_filter(store, images, key, value, text))
    return [
        image
        for image in images
        if all(any(wanted(image) for wanted in alternatives) for alternatives in by_key.values())
    ]


def _filter(store: Images, images: Sequence[Image], key: str, value: str, text: str) -> Wanted:
    match key:
        case "reference" if value:
            return lambda image: any(
                _matches(name, value) for name in (*image.repo_tags, *image.repo_digests)
            )
        case "dangling" if value in _TRUTH:
            return lambda image: (not image.repo_tags) is _TRUTH[value]
        case "pinned" if value in _TRUTH:
            return lambda image: image.pinned is _TRUTH[value]
        case "label" if value:
            name, equals, wanted = value.partition("=")
            return lambda image: _has_label(image, name, wanted if equals else None)
        case "before" | "since" if value:
            return _relative(store, images, value, before=key == "before")
    raise BadFilter(f"filter {text!r} is none of reference=, dangling=, pinned=, label=, before=, since=")


def _matches(name: str, pattern: str) -> bool:
    """As podman has it: the whole name, or one without its registry or tag."""
    bare = name.partition("@")[0]
    without_tag = bare.rpartition(":")[0] if ":" in bare.rpartition("/")[2] else bare
    shown = [name, bare, without_tag]
    shown += [each.partition("/")[2] for each in shown]
    shown += [each.rpartition("/")[2] for each in (bare, without_tag)]
    return any(fnmatch.fnmatchcase(each, pattern) for each in shown)


def _has_label(image: Image, name: str, wanted: str | None) -> bool:
    labels = dict(image.config.labels or {})
    return name in labels and (wanted is None or labels[name] == wanted)


def _relative(store: Images, images: Sequence[Image], name: str, *, before: bool) -> Wanted:
    """By the order of pulls, which the list has."""
    found = store.find(name)
    if found is None:
        raise NoSuchImage(f"no image {name!r}: podwright image list shows what is there")
    order = [image.id for image in images]
    at = order.index(found.id)
    those = set(order[:at] if before else order[at + 1 :])
    return lambda image: image.id in those
