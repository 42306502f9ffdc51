"""What every layer's test asks of its layer: laws, references, and that a planted mistake is found and named.

A law is a function law(layer, *inputs, **parameters) that fails with a sentence; `parameters` holds constants too.
A layer's test states all of them at once:

    def test_laws():
        laws.hold(Relu(), laws.normal(3, 4))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from gradcheck.errors import ShapeError
from gradcheck.findings import SpecReport
from gradcheck.layers._base import Layer
from gradcheck.layers._columns import Columns
from gradcheck.naming import spec_name

Array = NDArray[Any]
Law = Callable[..., None]

#: For @given: the same few examples in every run, also where the machine is busy; a subclass may run inherited laws.
few = settings(
    max_examples=15, derandomize=True, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)  # fmt: skip

_COMPLEX_STEP = 1e-30
_REAL_STEP = 1e-6


# Planted mistakes -----------------------------------------------------------------------------------------------------


def assert_passes(report: SpecReport) -> None:
    """Everything was checked and agreed."""
    assert report.verdict == "pass", f"expected verdict pass, got {_told(report)}"
    assert report.counts.passed == report.counts.total > 0, f"expected every entry to pass, got {report.counts}"


def assert_no_false_alarm(report: SpecReport) -> None:
    """No entry fails and nine in ten pass: in float32 an entry close to zero may drown in its own rounding."""
    assert report.verdict in ("pass", "inconclusive"), f"expected no failure, got {_told(report)}"
    assert report.counts.passed >= 0.9 * report.counts.total > 0, f"expected most to pass, got {_told(report)}"


def assert_caught(report: SpecReport, layer: Layer | str, parameter: str | None = None) -> None:
    """A finding of severity error says that the gradient is not the derivative, and names the layer.

    layer      its name, or the layer itself if it is the first of its class
    parameter  what must be named as wrong: a parameter of that layer (`weight`) or the network's `input`
    """
    name = layer if isinstance(layer, str) else f"{spec_name(type(layer))}_1"
    named = [
        finding
        for finding in report.findings
        if finding.code.startswith("GC1")
        and finding.severity == "error"
        and finding.layer == name
        and finding.consequence_of is None
        and (parameter is None or finding.parameter in (parameter, f"{name}.{parameter}"))
    ]
    assert report.verdict == "fail", f"expected verdict fail, got {_told(report)}"
    assert named, f"expected an error about {name} and {parameter or 'any row'}, got {_told(report)}"


def assert_refuses(layer: Layer, *x_shapes: tuple[int, ...], message: str) -> None:
    """The layer's check refuses these shapes with exactly this message."""
    with pytest.raises(ShapeError) as refusal:
        layer.check(*x_shapes)
    assert str(refusal.value) == message


def _told(report: SpecReport) -> str:
    findings = [f"{f.code} {f.severity} {f.layer} {f.parameter} {f.message}" for f in report.findings]
    return "\n".join([report.verdict, *findings, *[f"{row.name}: {row.verdict} {row.counts}" for row in report.rows]])


# One forward and backward ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """One forward and one backward pass; outputs and gradients of the inputs as tuples, however many there are."""

    y: tuple[Array, ...]
    dy: tuple[Array, ...]
    dx: tuple[Array | None, ...]
    gradients: dict[str, Array]


def normal(*shape: int, seed: int = 0) -> Array:
    """Standard normal numbers; the same for the same shape and seed."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def drawn(layer: Layer, *inputs: Array, seed: int = 0) -> dict[str, Array]:
    """The layer's parameters and constants for these inputs."""
    shapes = [x.shape for x in inputs]
    rng = np.random.default_rng(seed)
    return {**layer.init(rng, *shapes), **layer.constants(rng, *shapes)}


def outputs(layer: Layer, *inputs: Array, **parameters: Array) -> tuple[Array, ...]:
    """What forward returns, as a tuple."""
    return _several(layer.forward(*inputs, **parameters)[0])


def run(layer: Layer, *inputs: Array, dy: Any = None, **parameters: Array) -> Outcome:
    """Forward, then backward with the upstream gradients `dy`, a tuple, by default random."""
    y, cache = layer.forward(*inputs, **parameters)
    ys = _several(y)
    if dy is None:
        dy = tuple(normal(*each.shape, seed=100 + k).astype(each.dtype) for k, each in enumerate(ys))
    dx, gradients = layer.backward(dy if isinstance(y, tuple) else dy[0], cache)
    return Outcome(ys, dy, _several(dx), gradients)


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _learned(layer: Layer, inputs: tuple[Array, ...]) -> set[str]:
    return set(layer.init(np.random.default_rng(0), *[x.shape for x in inputs]))


def _differentiable(layer: Layer, inputs: tuple[Array, ...], parameters: Mapping[str, Array]) -> dict[int | str, Array]:
    """What backward must differentiate: inputs by position, parameters by name."""
    real: dict[Any, Array] = {k: x for k, x in enumerate(inputs) if x.dtype.kind == "f"}
    return {**real, **{name: parameters[name] for name in _learned(layer, inputs)}}


def _with(
    key: int | str, value: Array, inputs: tuple[Array, ...], parameters: Mapping[str, Array]
) -> tuple[list[Array], dict[str, Array]]:
    """The arguments of forward with one of them replaced."""
    replaced: dict[Any, Array] = {**dict(enumerate(inputs)), **parameters, key: value}
    return [replaced[k] for k in range(len(inputs))], {name: replaced[name] for name in parameters}


def _found(outcome: Outcome, key: int | str) -> Array:
    gradient = outcome.dx[key] if isinstance(key, int) else outcome.gradients[key]
    assert gradient is not None, f"backward says None about input {key}"
    return gradient


def _gradient_of(key: int | str) -> str:
    return f"the gradient of input {key}" if isinstance(key, int) else f"the gradient of {key}"


def close(found: Array, expected: Array, what: str, rtol: float = 1e-10) -> None:
    """Equal shapes, and entries equal up to rtol of the greatest."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{what} has shape {found.shape}, expected {expected.shape}"
    scale = np.max(np.abs(expected), initial=1e-300)
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=rtol, err_msg=what)


# Laws -----------------------------------------------------------------------------------------------------------------


def backward_is_the_derivative(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """Entry by entry, backward says Σ dy ∂y, measured by a complex step of forward."""
    outcome = run(layer, *inputs, **parameters)
    assert set(outcome.gradients) == _learned(layer, inputs), "backward and init name different parameters"
    for key, array in _differentiable(layer, inputs, parameters).items():
        expected = np.zeros(array.shape)
        for index in np.ndindex(*array.shape):
            stepped = array.astype(complex)
            stepped[index] += 1j * _COMPLEX_STEP
            positional, named = _with(key, stepped, inputs, parameters)
            moved = outputs(layer, *positional, **named)
            slopes = [(u * y.imag / _COMPLEX_STEP).sum() for u, y in zip(outcome.dy, moved, strict=True)]
            expected[index] = sum(slopes)
        close(_found(outcome, key), expected, _gradient_of(key))


def backward_agrees_with_real_differences(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """Along a random direction, backward says what central differences of a real forward say, up to its rounding."""
    outcome = run(layer, *inputs, **parameters)
    rounding = 4 * 2.0**-53 * sum(np.abs(u * y).sum() for u, y in zip(outcome.dy, outcome.y, strict=True)) / _REAL_STEP
    for key, array in _differentiable(layer, inputs, parameters).items():
        direction = normal(*array.shape, seed=200)
        ahead, behind = (
            outputs(layer, *positional, **named)
            for step in (_REAL_STEP, -_REAL_STEP)
            for positional, named in [_with(key, array + step * direction, inputs, parameters)]
        )
        slopes = zip(outcome.dy, ahead, behind, strict=True)
        expected = sum(np.sum(u * (a - b)) / (2 * _REAL_STEP) for u, a, b in slopes)
        scale = np.abs(_found(outcome, key) * direction).sum()
        error = abs(np.sum(_found(outcome, key) * direction) - expected)
        assert error <= 1e-7 * scale + rounding, f"{_gradient_of(key)} along a direction is off by {error}, of {scale}"


def backward_is_linear_in_upstream(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """backward(2 u − 3 v) = 2 backward(u) − 3 backward(v), for every input and parameter."""
    first = run(layer, *inputs, **parameters)
    other = tuple(normal(*u.shape, seed=300) for u in first.dy)
    second = run(layer, *inputs, dy=other, **parameters)
    mixture = tuple(2 * u - 3 * v for u, v in zip(first.dy, other, strict=True))
    mixed = run(layer, *inputs, dy=mixture, **parameters)
    for key in _differentiable(layer, inputs, parameters):
        close(_found(mixed, key), 2 * _found(first, key) - 3 * _found(second, key), _gradient_of(key))


def samples_are_independent(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """A batch cut into one sample and the rest: the outputs are the parts', parameters' gradients add up."""
    whole = run(layer, *inputs, **parameters)
    parts = []
    for samples in (slice(None, 1), slice(1, None)):
        cut = {k: p[samples] if k in layer.per_sample else p for k, p in parameters.items()}
        parts.append(run(layer, *[x[samples] for x in inputs], dy=tuple(u[samples] for u in whole.dy), **cut))
    for k, y in enumerate(whole.y):
        close(np.concatenate([part.y[k] for part in parts]), y, f"output {k} of the parts")
    for key in _differentiable(layer, inputs, parameters):
        first, rest = (_found(part, key) for part in parts)
        joined = np.concatenate([first, rest]) if isinstance(key, int) else first + rest
        close(joined, _found(whole, key), _gradient_of(key))


def float32_stays_float32(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """Outputs and gradients have the precision of the arguments, and the values of float64 up to rounding."""
    exact = run(layer, *inputs, **parameters)
    rounded, named = [_single(x) for x in inputs], {k: _single(p) for k, p in parameters.items()}
    single = run(layer, *rounded, dy=tuple(_single(u) for u in exact.dy), **named)
    keys = _differentiable(layer, inputs, parameters)
    for what, found, expected in (
        *((f"output {k}", y, exact.y[k]) for k, y in enumerate(single.y)),
        *((_gradient_of(key), _found(single, key), _found(exact, key)) for key in keys),
    ):
        assert found.dtype == np.float32, f"{what} became {found.dtype}"
        close(found, expected, what, rtol=1e-5)


def long_double_is_no_staircase(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """Arguments in long double are computed in it, or refused: outputs follow moves that float64 cannot see."""
    keys = _differentiable(layer, inputs, parameters)
    if np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps:
        return
    rates = {key: normal(*x.shape, seed=k).astype(np.longdouble) for k, (key, x) in enumerate(keys.items())}

    def along(step: float) -> tuple[Array, ...]:
        moved = {
            key: x.astype(np.longdouble) * (1 + step * rates[key].astype(np.longdouble)) for key, x in keys.items()
        }
        positional = [moved.get(k, x) for k, x in enumerate(inputs)]
        return outputs(layer, *positional, **{k: moved.get(k, p) for k, p in parameters.items()})

    try:
        base, short, long = along(0), along(2.0**-54), along(2.0**-44)
    except TypeError:
        return
    for here, beside, far in zip(base, short, long, strict=True):
        if here.dtype.kind != "f":
            continue
        assert here.dtype == np.longdouble, f"an output became {here.dtype}"
        off = np.abs(2.0**10 * (beside - here) - (far - here))
        room = 2.0**-3 * np.abs(far - here) + 2.0**13 * np.finfo(np.longdouble).eps * np.abs(here).max()
        assert (off <= room).mean() > 0.9, "an output moves in steps as long as those of float64"


def _single(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def arguments_are_left_alone(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """Neither pass writes to what it is given, and backward says the same when it is asked again."""
    first = run(layer, *inputs, **parameters)
    locked = [_read_only(x) for x in inputs]
    y, cache = layer.forward(*locked, **{k: _read_only(p) for k, p in parameters.items()})
    upstream = tuple(_read_only(u) for u in first.dy)
    for _ in range(2):
        dx, gradients = layer.backward(upstream if isinstance(y, tuple) else upstream[0], cache)
        again = Outcome(_several(y), upstream, _several(dx), gradients)
        for key in _differentiable(layer, inputs, parameters):
            np.testing.assert_array_equal(_found(again, key), _found(first, key), err_msg=_gradient_of(key))


def _read_only(array: Array) -> Array:
    copy = array.copy()
    copy.setflags(write=False)
    return copy


def complex_arguments_are_carried(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """Complex arguments without an imaginary part give the real outputs, as complex numbers."""
    keys = _differentiable(layer, inputs, parameters)
    positional = [x.astype(complex) if k in keys else x for k, x in enumerate(inputs)]
    named = {k: p.astype(complex) if k in keys else p for k, p in parameters.items()}
    for real, found in zip(outputs(layer, *inputs, **parameters), outputs(layer, *positional, **named), strict=True):
        assert found.dtype == complex, f"forward of complex arguments returned {found.dtype}"
        assert not found.imag.any(), "an imaginary part came from nowhere"
        close(found.real, real, "the output for complex arguments")


def branches_keep_their_contract(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """Integers with the batch on axis 0, the same for a tiny imaginary part; of the output's shape if elementwise."""
    taken = layer.branches(*inputs, **parameters)
    if taken is None:
        return
    assert taken.dtype.kind == "i", f"branches are {taken.dtype}, expected integers"
    assert len(taken) == len(inputs[0]), f"branches of shape {taken.shape} for a batch of {len(inputs[0])}"
    if layer.elementwise:
        assert taken.shape == inputs[0].shape, f"branches of shape {taken.shape} for {inputs[0].shape}"
    stepped = [x + 1j * _COMPLEX_STEP * normal(*x.shape) if x.dtype.kind == "f" else x for x in inputs]
    np.testing.assert_array_equal(layer.branches(*stepped, **parameters), taken, err_msg="judged by the real part")


def elementwise_means_entry_by_entry(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """What a layer declares by `elementwise`: forward of some entries is those entries of forward."""
    if not layer.elementwise:
        return
    assert len(inputs) == 1
    assert not parameters
    (whole,), some = outputs(layer, inputs[0]), np.arange(inputs[0].size)[::2]
    assert whole.shape == inputs[0].shape
    close(outputs(layer, inputs[0].ravel()[some])[0], whole.ravel()[some], "forward of every second entry")


def channelwise_means_channel_by_channel(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """What a layer declares by `channelwise`: forward of some channels is those channels of forward."""
    if not layer.channelwise:
        return
    assert len(inputs) == 1
    assert not parameters
    (whole,), (x,) = outputs(layer, *inputs), inputs
    close(outputs(layer, x[:, 1::2])[0], whole[:, 1::2], "forward of every second channel")


def perturbed_is_forward_with_the_entry_moved(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """What a layer says cheaply of its parameters' entries, entry by entry."""
    for name in _learned(layer, inputs):
        entries = np.nonzero(np.ones(parameters[name].shape))
        steps = np.arange(1.0, len(entries[0]) + 1)
        columns = layer.perturbed(name, entries, steps, inputs[0], **parameters)
        if columns is None:
            continue
        (y,) = outputs(layer, *inputs, **parameters)
        expected = []
        for step, index in zip(steps, zip(*entries, strict=True), strict=True):
            moved = parameters[name].copy()
            moved[index] += step
            expected.append(outputs(layer, *inputs, **{**parameters, name: moved})[0])
        close(columns.moved(y), np.stack(expected), f"what {name} changes", rtol=1e-13)


def carry_is_forward_of_the_moved_input(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """What an affine layer says of a move of its input."""
    moves = normal(*inputs[0].shape, seed=3)
    carried = layer.carry(moves, **parameters)
    if carried is not None:
        before, after = (outputs(layer, x, **parameters)[0] for x in (inputs[0], inputs[0] + moves))
        close(before + carried, after, "what a move of the input changes", rtol=1e-13)


def carry_columns_is_carry_of_whole_copies(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """What a layer says of copies that move in one block of an axis, whichever axis and block."""
    x = inputs[0]
    for axis, size in enumerate(x.shape[1:], start=1):
        for width in {1, max(size // 2, 1)} if size % 2 == 0 else {1}:
            index = np.array([0, size // width - 1, 0])
            moves = normal(3, *x.shape[:axis], width, *x.shape[axis + 1 :], seed=axis)
            columns = Columns(axis, index, moves)
            answer = layer.carry_columns(columns, **parameters)
            if answer is None:
                continue
            before, *after = (outputs(layer, x + d, **parameters)[0] for d in (0 * x, *columns.dense(x.shape)))
            found = answer.dense(before.shape) if isinstance(answer, Columns) else answer
            close(before + found, np.stack(after), f"blocks of axis {axis}", rtol=1e-13)


def upstream_times_output_is_gradient_times_input(layer: Layer, *inputs: Array, **parameters: Array) -> None:
    """Euler's identity Σ dy y = Σ dx x, for a layer with f(t x) = t f(x) for t > 0 (not one of `ALL`)."""
    outcome = run(layer, *inputs, **parameters)
    forward = sum(np.sum(u * y) for u, y in zip(outcome.dy, outcome.y, strict=True))
    backward = sum(np.sum(_found(outcome, k) * x) for k, x in enumerate(inputs))
    scale = sum(np.abs(u * y).sum() for u, y in zip(outcome.dy, outcome.y, strict=True))
    assert abs(forward - backward) <= 1e-12 * scale, f"Σ dy y is {forward}, Σ dx x is {backward}"


ALL: tuple[Law, ...] = (
    backward_is_the_derivative,
    backward_agrees_with_real_differences,
    backward_is_linear_in_upstream,
    samples_are_independent,
    float32_stays_float32,
    long_double_is_no_staircase,
    arguments_are_left_alone,
    complex_arguments_are_carried,
    branches_keep_their_contract,
    elementwise_means_entry_by_entry,
    channelwise_means_channel_by_channel,
    perturbed_is_forward_with_the_entry_moved,
    carry_is_forward_of_the_moved_input,
    carry_columns_is_carry_of_whole_copies,
)


def hold(layer: Layer, *inputs: Array, but: tuple[Law, ...] = ()) -> None:
    """All laws hold for the layer with drawn parameters, but for those that it does not obey."""
    parameters = drawn(layer, *inputs)
    for law in ALL:
        if law in but:
            continue
        try:
            law(layer, *inputs, **parameters)
        except Exception as broken:
            broken.add_note(f"{name(law)} of {layer} with inputs {[x.shape for x in inputs]}")
            raise


def name(law: Law) -> str:
    """The test id of a law."""
    return law.__name__


# References -----------------------------------------------------------------------------------------------------------


def assert_matches_reference(
    layer: Layer, reference: Callable[..., tuple[Any, Any, dict[str, Array]]], *inputs: Array, **parameters: Array
) -> None:
    """The layer says what obvious loops say.

    reference(*inputs, dy, **parameters) -> (y, dx, gradients by name), each as the layer would return it
    """
    outcome = run(layer, *inputs, **parameters)
    y, dx, gradients = reference(*inputs, *outcome.dy, **parameters)
    _assert_same(outcome, _several(y), _several(dx), gradients)


def assert_matches_torch(layer: Layer, function: Callable[..., Any], *inputs: Array, **parameters: Array) -> None:
    """The layer says what PyTorch says: function(*tensors, **tensors) -> tensor, differentiated by autograd."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    outcome = run(layer, *inputs, **parameters)
    leaves = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    named = {k: torch.tensor(p, requires_grad=p.dtype.kind == "f") for k, p in parameters.items()}
    y = _several(function(*leaves, **named))
    torch.autograd.backward(y, [torch.tensor(u) for u in outcome.dy])
    dx = tuple(None if leaf.grad is None else leaf.grad.numpy() for leaf in leaves)
    gradients = {k: named[k].grad.numpy() for k in outcome.gradients}
    _assert_same(outcome, tuple(each.detach().numpy() for each in y), dx, gradients)


def _assert_same(
    outcome: Outcome, y: tuple[Array, ...], dx: tuple[Array | None, ...], gradients: Mapping[str, Array]
) -> None:
    assert set(outcome.gradients) == set(gradients)
    for k, (found, expected) in enumerate(zip(outcome.y, y, strict=True)):
        close(found, expected, f"output {k}")
    for k, (gradient, expected_gradient) in enumerate(zip(outcome.dx, dx, strict=True)):
        assert (gradient is None) == (expected_gradient is None), f"the gradient of input {k} is {gradient}"
        if gradient is not None and expected_gradient is not None:
            close(gradient, expected_gradient, _gradient_of(k))
    for key, expected in gradients.items():
        close(outcome.gradients[key], expected, _gradient_of(key))
