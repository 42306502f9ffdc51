"""Blocks of a sweep: whole chunks, every entry once, and bit for bit the sweep in one piece."""

from __future__ import annotations

import msgspec.structs
import numpy as np
import pytest
from core_nets import Centred, relu_with
from support import case

from gradcheck._scene import Scene, prepare
from gradcheck.gradients.numeric import sweep
from gradcheck.gradients.numeric.ladder import Rungs, climb
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh
from gradcheck.workers import blocks as module
from gradcheck.workers.blocks import blocks, evaluated, joined, request

X = np.random.default_rng(5).standard_normal((6, 7))
NETS: dict[str, tuple[Layer, ...]] = {
    "dense": (Linear(5), Tanh(), Linear(3)),
    "coupled": (Linear(5), Centred(), Tanh()),
    "kinks": (Linear(5), relu_with(0.0), Linear(3)),
}


def whole(scene: Scene, name: str) -> Rungs:
    asked = request(scene, name)
    return climb(scene.stage, name, asked.entries, asked.scheme, scene.question, asked.steps, scene.watch)


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("most", [32, 3])
def test_blocks_give_the_bytes_of_the_whole(net: str, method: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "CHUNK", 150)  # a few copies a chunk, the last one smaller
    monkeypatch.setattr(module, "MOST", most)
    scene = prepare(case(*NETS[net], x=X, method=method))
    for name in scene.schemes:
        of, asked = blocks(scene.stage, name), request(scene, name)
        assert sorted(np.concatenate(of)) == list(range(scene.stage.arrays[name].size))
        assert len(of) <= most
        assert len(of) > 1 or scene.stage.arrays[name].size < 10
        parts = [evaluated(scene.fresh(), name, block, asked, lambda done: None) for block in reversed(of)]
        found, expected = joined(of, parts[::-1]), whole(scene, name)
        for field in ("steps", "values", "noise", "kink", "magnitude"):
            assert getattr(found, field).tobytes() == getattr(expected, field).tobytes(), (name, field)
        assert list(found.reduced) == list(expected.reduced)
        assert all(found.reduced[key].tobytes() == expected.reduced[key].tobytes() for key in expected.reduced)


def test_a_tensor_of_one_chunk_is_one_block() -> None:
    scene = prepare(case(Linear(5), x=X))
    assert [len(blocks(scene.stage, name)) for name in scene.schemes] == [1, 1, 1]


def test_features_of_all_samples_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "CHUNK", 2 * X.size)
    scene = prepare(case(Tanh(), x=X))
    first = blocks(scene.stage, "input")[0]
    assert set(first % 7) == {0, 1}
    assert len(first) == 2 * len(X)


def test_an_estimate_is_made_of_what_the_sweep_gives() -> None:
    scene = prepare(case(Linear(5), Tanh(), x=X))
    plain = scene.estimate("input")

    def doubled(*asked: object) -> Rungs:
        rungs = climb(*asked)  # type: ignore[arg-type]
        return msgspec.structs.replace(rungs, values=2 * rungs.values)

    assert np.array_equal(scene.estimate("input", doubled).value, 2 * plain.value)
