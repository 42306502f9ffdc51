"""The shared functions against scalar arithmetic of more digits, at extreme arguments and under a complex step."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest

from gradcheck import maths

EXTREMES = (-800.0, -50.0, -37.0, -1.5, -1e-9, 0.0, 1e-9, 1.5, 37.0, 50.0, 800.0)
H = 1e-30


def exact_sigmoid(x: float) -> float:
    with localcontext(prec=60):
        return float(1 / (1 + (-Decimal(x)).exp()))


def exact_softplus(x: float) -> float:
    with localcontext(prec=800):
        return float((1 + Decimal(x).exp()).ln())


@pytest.mark.parametrize("x", EXTREMES)
def test_sigmoid_and_its_derivative_are_exact_in_both_tails(x):
    z = np.array([x])
    np.testing.assert_allclose(maths.sigmoid(z), exact_sigmoid(x), rtol=4e-16)
    step = maths.sigmoid(z + 1j * H).imag / H
    expected = exact_sigmoid(x) * exact_sigmoid(-x)
    np.testing.assert_allclose(step, expected, rtol=1e-15, atol=1e-300)


@pytest.mark.parametrize("x", EXTREMES)
def test_softplus_and_its_derivative_are_exact_in_both_tails(x):
    z = np.array([x])
    np.testing.assert_allclose(maths.softplus(z), exact_softplus(x), rtol=4e-16, atol=1e-300)
    step = maths.softplus(z + 1j * H).imag / H
    np.testing.assert_allclose(step, exact_sigmoid(x), rtol=1e-15, atol=1e-300)


@pytest.mark.parametrize("x", EXTREMES)
def test_tanh_slope_is_exact_in_both_tails(x):
    expected = 4 * exact_sigmoid(2 * x) * exact_sigmoid(-2 * x)
    np.testing.assert_allclose(maths.tanh_slope(np.array([x])), expected, rtol=1e-15, atol=1e-300)


def exact_log_softmax(row: list[float]) -> list[float]:
    with localcontext(prec=800):
        exponentials = [Decimal(x).exp() for x in row]
        return [float((e / sum(exponentials)).ln()) for e in exponentials]


ROWS = ([0.0, 0.0, 0.0], [50.0, 0.0, -50.0], [800.0, -800.0, 799.0], [1e6, 1e6 + 1, 1e6], [-800.0, -801.0, -800.0])


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_log_softmax_is_exact_where_one_entry_outweighs_the_others(row):
    np.testing.assert_allclose(maths.log_softmax(np.array([row]), -1)[0], exact_log_softmax(row), rtol=1e-15)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_softmax_and_log_softmax_carry_the_derivative_of_every_entry(row):
    q = np.exp(exact_log_softmax(row))
    steps = np.array(row) + 1j * H * np.eye(3)
    log_jacobian = maths.log_softmax(steps, 1).imag / H
    np.testing.assert_allclose(log_jacobian, np.eye(3) - q[:, None], atol=3e-16)
    jacobian = maths.softmax(steps, 1).imag / H
    np.testing.assert_allclose(jacobian, np.diag(q) - np.outer(q, q), atol=3e-16)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_softmax_normalises_along_its_axis_alone(axis):
    x = np.random.default_rng(3).normal(size=(2, 3, 4))
    y = maths.softmax(x, axis)
    np.testing.assert_allclose(y.sum(axis=axis), 1, rtol=1e-15)
    np.testing.assert_allclose(maths.log_softmax(x, axis), np.log(y), rtol=1e-13)
    moved = np.moveaxis(maths.softmax(np.moveaxis(x, axis, -1), -1), -1, axis)
    np.testing.assert_array_equal(y, moved)


@pytest.mark.parametrize("size", [1.0, 800.0])
def test_softmax_of_some_is_the_softmax_of_these_alone(size):
    x = size * np.random.default_rng(3).normal(size=(4, 3))
    where = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0]], dtype=bool)
    x[1, 0] = 1e300  # the greatest entry does not count
    y = maths.softmax(x, 1, where=where)
    for row, found, seen in zip(x, y, where, strict=True):
        expected = np.zeros(3)
        if seen.any():
            expected[seen] = maths.softmax(row[seen], 0)
        np.testing.assert_array_equal(found, expected)
    step = maths.softmax(x + 1j * H * np.eye(3)[1], 1, where=where).imag / H
    np.testing.assert_allclose(step, y * (np.eye(3)[1] - y[:, 1:2]), atol=3e-16)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_softmax_vjp_is_the_jacobian_times_the_upstream_gradient(row):
    q, dy = np.exp(exact_log_softmax(row)), np.array([0.3, -2.0, 1.0])
    jacobian = np.diag(q) - np.outer(q, q)
    found = maths.softmax_vjp(q[None], dy[None], 1)
    np.testing.assert_allclose(found, [jacobian @ dy], rtol=1e-14, atol=3e-16)


@pytest.mark.parametrize("size", [50.0, 600.0])
def test_a_complex_step_of_a_sure_softmax_keeps_the_tiny_derivative(size):
    tail = np.exp(-size)
    steps = np.array([[size, 0.0]]) + 1j * H * np.eye(2)
    expected = [[tail, -tail], [-tail, tail]]
    np.testing.assert_allclose(maths.softmax(steps, 1).imag / H, expected, rtol=1e-14)


def test_every_row_of_a_softmax_has_its_own_scale():
    x = np.array([[800.0, 800.0], [-800.0, -800.0]])
    np.testing.assert_array_equal(maths.softmax(x, 1), 0.5)
    np.testing.assert_allclose(maths.log_softmax(x, 1), -np.log(2), rtol=1e-15)


FUNCTIONS = {
    "sigmoid": maths.sigmoid,
    "tanh_slope": maths.tanh_slope,
    "softplus": maths.softplus,
    "softmax": lambda x: maths.softmax(x, -1),
    "softmax of some": lambda x: maths.softmax(x, -1, where=np.arange(x.shape[-1]) != 1),
    "softmax_vjp": lambda x: maths.softmax_vjp(x, x, -1),
    "log_softmax": lambda x: maths.log_softmax(x, -1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_the_dtype_is_kept_and_the_argument_untouched(name, dtype):
    x = np.array([[-3, 0, 2], [50, -50, 1]], dtype=dtype)
    x.flags.writeable = False
    assert FUNCTIONS[name](x).dtype == dtype


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_is_never_hidden(name):
    assert np.isnan(FUNCTIONS[name](np.array([[np.nan]]))).all()


def test_side_marks_the_border_by_the_real_part():
    x = np.array([-2.0, -0.0, 0.0, 3.0]) + 1j
    assert maths.side(x).tolist() == [0, -1, -1, 1]
    assert maths.side(x, smooth=True).tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_a_sum_of_others_does_not_cancel(axis):
    x = np.array([[1.0, 1e-30, 3e-30], [2.0, 1.0, 1e-20]])
    others = maths.sum_of_others(x, axis)
    for place in np.ndindex(*x.shape):
        line = np.moveaxis(x, axis, -1)[place[1 - axis % 2]]
        expected = np.delete(line, place[axis % 2]).sum()
        assert others[place] == expected


def test_one_alone_has_no_others():
    np.testing.assert_array_equal(maths.sum_of_others(np.array([[3.0], [2.0]]), 1), [[0.0], [0.0]])
    np.testing.assert_array_equal(maths.log_softmax(np.array([[3.0], [2.0]]), 1), [[0.0], [0.0]])


def test_t_log_t_is_zero_at_zero():
    assert maths.t_log_t(np.array([0.0, 1.0, 2.0])).tolist() == [0, 0, 2 * np.log(2)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble", "complex128", "int64"])
def test_finite_are_arrays_of_numbers_whose_squares_may_overflow(dtype):
    x = np.array([[1, 2], [3, 0]], dtype=dtype)
    assert maths.is_finite(x)
    assert maths.is_finite(x[:, :0])
    if dtype != "int64":
        x[1, 0] = np.finfo(dtype).max
        assert maths.is_finite(x.T)
        for bad in (np.nan, np.inf, -np.inf):
            x[0, 1] = bad
            assert not maths.is_finite(x)
