from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradcheck.catalogue import Catalogue
from gradcheck.spec._data import Arrays, read_data
from gradcheck.spec._problems import Problems
from gradcheck.spec._yaml import compose
from gradcheck.spec.read import read_case


def arrays(data: str, folder: Path | str = ".", seed: int = 0, dtype: str = "float64") -> Arrays:
    """The arrays of a section `data`."""
    problems = Problems("s.yaml")
    found = read_data(compose(data, problems), seed, dtype, f"{folder}/s.yaml", problems)
    assert problems.sorted() == []
    return found


def only(array: str, more: str = "batch_size: 4", folder: Path | str = ".", seed: int = 0) -> np.ndarray:
    """The one input of a section."""
    return arrays(f"{more}\ninputs: {array}", folder, seed).numbers["input"]


def test_normal_is_what_is_drawn_by_default_and_has_the_batch_first() -> None:
    x = only("{shape: [1000, 2]}")
    assert x.shape == (4, 1000, 2)
    assert abs(x.mean()) < 0.05
    assert abs(x.std() - 1) < 0.05
    assert np.array_equal(x, only("{shape: [1000, 2], fill: normal}"))


def test_an_array_without_axes_has_a_number_a_sample() -> None:
    assert only("{shape: []}").shape == (4,)


def test_uniform_fills_its_range() -> None:
    x = only("{shape: [1000], fill: uniform, low: 2, high: 2.5}")
    assert 2 <= x.min() < 2.01
    assert 2.49 < x.max() < 2.5
    assert 0 <= only("{shape: [1000], fill: uniform}").min() < 0.01


def test_scale_multiplies() -> None:
    assert np.array_equal(only("{shape: [3], scale: -2}"), -2 * only("{shape: [3]}"))
    assert np.array_equal(only("{values: [1, 2], scale: 0.5}", more=""), [0.5, 1])


def test_zeros_and_ones() -> None:
    assert np.array_equal(only("{shape: [2], fill: zeros}"), np.zeros((4, 2)))
    assert np.array_equal(only("{shape: [2], fill: ones, scale: 3}"), np.full((4, 2), 3))


def test_integers_reach_low_and_not_high() -> None:
    x = only("{shape: [500], fill: integers, low: -2, high: 3}")
    assert set(np.unique(x)) == {-2, -1, 0, 1, 2}
    assert set(np.unique(only("{shape: [500], fill: integers, high: 2}"))) == {0, 1}


def test_binary_is_0_and_1() -> None:
    assert set(np.unique(only("{shape: [500], fill: binary}"))) == {0, 1}


def test_classes_are_one_a_sample_or_an_array_of_them() -> None:
    x = only("{classes: 3}", more="batch_size: 500")
    assert x.shape == (500,)
    assert set(np.unique(x)) == {0, 1, 2}
    assert only("{classes: 3, shape: [2, 5]}").shape == (4, 2, 5)


def test_probabilities_are_positive_and_have_the_sum_1() -> None:
    x = only("{shape: [3, 50], fill: probabilities}")
    assert x.min() > 0
    assert np.allclose(x.sum(axis=-1), 1, rtol=1e-15, atol=0)


@pytest.mark.parametrize(
    ("array", "as_input", "as_target", "as_weight"),
    [
        ("{shape: []}", "f", "f", "f"),
        ("{shape: [], fill: uniform}", "f", "f", "f"),
        ("{shape: [], fill: integers, high: 3}", "i", "i", "f"),
        ("{shape: [], fill: binary}", "i", "f", "f"),
        ("{shape: [], fill: zeros}", "f", "f", "f"),
        ("{shape: [], fill: ones, dtype: int}", "i", "i", "i"),
        ("{shape: [], fill: binary, dtype: bool}", "b", "b", "b"),
        ("{shape: [], fill: binary, dtype: float}", "f", "f", "f"),
        ("{classes: 3}", "i", "i", "f"),
        ("{values: [1, 2]}", "f", "i", "f"),
        ("{values: [1, 2.0]}", "f", "f", "f"),
        ("{values: [1, 2], dtype: int}", "i", "i", "i"),
        ("{values: [1, 2], scale: 2}", "f", "f", "f"),
        ("{values: [true, false]}", "b", "b", "f"),
        ("{values: [1.0, 2.0], dtype: int}", "i", "i", "i"),
        ("{file: whole.csv}", "f", "i", "f"),
        ("{file: real.csv}", "f", "f", "f"),
        ("{file: all.npz, key: i}", "i", "i", "f"),
        ("{file: all.npz, key: u}", "i", "i", "f"),
        ("{file: all.npz, key: f}", "f", "f", "f"),
        ("{file: all.npz, key: h}", "f", "f", "f"),
        ("{file: all.npz, key: b}", "b", "b", "f"),
    ],
)
def test_what_kind_of_numbers_an_array_holds(
    tmp_path: Path, array: str, as_input: str, as_target: str, as_weight: str
) -> None:
    (tmp_path / "whole.csv").write_text("1\n2\n")
    (tmp_path / "real.csv").write_text("1\n2.5\n")
    two = np.array([1, 2])
    np.savez(
        tmp_path / "all.npz",
        i=two.astype("i4"), u=two.astype("u1"), f=two.astype("f4"), h=two.astype("f2"), b=two.astype("?"),
    )  # fmt: skip
    data = f"batch_size: 2\ninputs: {array}\ntargets: {array}\nsample_weight: {array}"
    found = arrays(data, tmp_path).numbers
    kinds = [found[name].dtype for name in ("input", "target", "sample_weight")]
    assert [dtype.kind for dtype in kinds] == [as_input, as_target, as_weight]
    assert {dtype.itemsize for dtype in kinds} <= {8, 1}


def test_a_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    assert np.array_equal(only("{shape: [3]}", seed=5), only("{shape: [3]}", seed=5))
    assert not np.array_equal(only("{shape: [3]}", seed=5), only("{shape: [3]}", seed=6))


def test_an_array_is_drawn_from_its_own_stream() -> None:
    both = arrays("batch_size: 4\ninputs:\n  a: {shape: [3]}\n  b: {shape: [3]}").numbers
    alone = arrays("batch_size: 4\ninputs:\n  b: {shape: [3]}").numbers
    assert np.array_equal(both["b"], alone["b"])
    assert not np.array_equal(both["a"], both["b"])


def test_float32_rounds_once_and_keeps_the_rounded_values() -> None:
    spec = "data: {batch_size: 2, inputs: {shape: [3]}, targets: {shape: [3]}}\nnetwork: [relu]\nloss: mse\n"
    fine, coarse = (read_case("s.yaml", f"dtype: {kind}\n{spec}", Catalogue()).point for kind in ("float64", "float32"))
    for name in ("input", "target"):
        rounded = fine.arrays[name].astype(np.float32).astype(np.float64)
        assert coarse.arrays[name].dtype == np.float64
        assert np.array_equal(coarse.arrays[name], rounded)
        assert not np.array_equal(coarse.arrays[name], fine.arrays[name])


def test_samples_as_columns_are_transposed(tmp_path: Path) -> None:
    columns = np.arange(6.0).reshape(2, 3)
    np.savetxt(tmp_path / "columns.csv", columns, delimiter=",")
    assert np.array_equal(only("{values: [[0, 1, 2], [3, 4, 5]], layout: batch_last}", more=""), columns.T)
    assert np.array_equal(only("{file: columns.csv, layout: batch_last}", "", tmp_path), columns.T)
    drawn = only("{shape: [2, 3], layout: batch_last}")
    assert drawn.shape == (4, 2, 3)
    assert np.array_equal(np.moveaxis(drawn, 0, -1).ravel(), only("{shape: [2, 3]}").ravel())


def test_of_a_three_dimensional_array_only_the_last_axis_moves(tmp_path: Path) -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    np.savez(tmp_path / "a.npz", array)
    assert np.array_equal(only("{file: a.npz, layout: batch_last}", "", tmp_path), np.moveaxis(array, -1, 0))


def test_a_shape_is_given_to_each_sample(tmp_path: Path) -> None:
    x = only("{values: [[1, 2, 3, 4], [5, 6, 7, 8]], shape: [2, 2]}", more="")
    assert np.array_equal(x, np.arange(1.0, 9).reshape(2, 2, 2))
    x = only("{values: [[1, 2], [3, 4]], layout: batch_last, shape: [1, 2]}", more="")
    assert np.array_equal(x, [[[1, 3]], [[2, 4]]])


def test_a_single_column_is_a_number_a_sample(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("label\n3\n1\n2\n")
    assert np.array_equal(only("{file: labels.csv}", "", tmp_path), [3, 1, 2])
    assert only("{file: labels.csv, shape: [1]}", "", tmp_path).shape == (3, 1)


def test_rows_are_drawn_by_seed_the_same_for_every_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(100.0).reshape(50, 2), y=np.arange(50))
    (tmp_path / "w.csv").write_text("\n".join(map(str, range(50))))
    data = (
        "batch_size: 5\ninputs:\n  x: {file: a.npz, key: x}\n  d: {shape: [1]}\n"
        "targets: {file: a.npz, key: y}\nsample_weight: {file: w.csv}"
    )
    seen = set()
    for seed in range(5):
        found = arrays(data, tmp_path, seed).numbers
        rows = found["target"]
        assert len(set(rows)) == 5
        assert np.array_equal(found["x"], np.stack([2 * rows, 2 * rows + 1], axis=1))
        assert np.array_equal(found["sample_weight"], rows)
        assert np.array_equal(rows, np.sort(rows))
        seen.add(tuple(rows))
    assert len(seen) == 5


def test_a_whole_file_is_taken_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("3\n1\n2\n")
    assert np.array_equal(only("{file: a.csv}", "batch_size: 3", tmp_path), [3, 1, 2])
    assert np.array_equal(only("{file: a.csv}", "", tmp_path), [3, 1, 2])


def test_an_array_without_a_batch_axis_is_drawn_or_loaded_whole(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", np.eye(3))
    found = arrays(
        "batch_size: 2\ninputs:\n  m: {shape: [3, 4], per_sample: false}\n  n: {file: m.npz, per_sample: false}\n"
        "  s: {values: 2.5, per_sample: false}\n  x: {shape: [3]}",
        tmp_path,
    )
    assert found.batched == {"x"}
    assert [found.numbers[name].shape for name in "mnsx"] == [(3, 4), (3, 3), (), (2, 3)]
    assert np.array_equal(found.numbers["n"], np.eye(3))
