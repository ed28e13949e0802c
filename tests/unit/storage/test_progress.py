"""What a pull counts, and what becomes of a layer's state."""

import pytest

from storage.progress import Layer, LayerState, Progress


def test_a_layer_that_fails_says_so_and_keeps_what_came() -> None:
    layer = Layer("sha256:aa", 100)

    def fail() -> None:
        with layer.fetched():
            layer.begins()
            layer.came(40)
            raise OSError("cut")

    with pytest.raises(OSError, match="cut"):
        fail()
    assert (layer.state, layer.done_bytes) == (LayerState.FAILED, 40)


def test_a_layer_that_is_begun_again_counts_anew() -> None:
    layer = Layer("sha256:aa", 100)
    with layer.fetched():
        layer.begins()
        layer.came(40)
        layer.begins()
        layer.came(100)
    assert (layer.state, layer.done_bytes) == (LayerState.DONE, 100)


def test_what_is_here_is_done_and_needs_no_bytes() -> None:
    layers = [Layer("sha256:aa", 100), Layer("sha256:bb", 50)]
    layers[0].is_here()
    progress = Progress(layers)
    assert (progress.total_bytes, progress.done_bytes) == (50, 0)
    assert (progress.total_layers, progress.done_layers) == (2, 1)


@pytest.mark.parametrize("state", [state for state in LayerState if state is not LayerState.FETCHING])
def test_only_what_is_fetched_has_a_rate(state: LayerState) -> None:
    layer = Layer("sha256:aa", 100)
    layer.begins()
    layer.came(50)
    assert layer.rate() > 0
    layer.state = state
    assert layer.rate() == 0
