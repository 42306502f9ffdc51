from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Centred, Declared, normal, plug, relu_with, stage_of
from support import case

from gradcheck.evidence import Evidence, gather
from gradcheck.gradients._moves import wider
from gradcheck.gradients.analytic import gradient
from gradcheck.gradients.numeric import sweep
from gradcheck.gradients.numeric.estimate import Estimate, estimate, estimate_in_wider_precision, step_for
from gradcheck.gradients.numeric.kinks import KinkWatch
from gradcheck.gradients.numeric.ladder import Question, climb
from gradcheck.gradients.numeric.noise import forward_noise
from gradcheck.gradients.numeric.schemes import SCHEMES, Scheme
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.layers.batch_norm import BatchNorm
from gradcheck.layers.embedding import Embedding
from gradcheck.layers.gelu import Gelu
from gradcheck.layers.linear import Linear
from gradcheck.layers.relu import Relu
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.bce import Bce
from gradcheck.losses.mse import Mse
from gradcheck.losses.wasserstein_generator import WassersteinGenerator
from gradcheck.spec.case import Case

X, TARGET = normal(6, 4), normal(6, 2)
#: What is left of the gradient's greatest entry in each scheme's error, at best and at worst.
ACCURACY = {"forward": 1e-5, "central": 1e-7, "five_point": 1e-9, "richardson": 1e-9, "complex": 1e-12}
schemes = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda scheme: scheme.name)


def dense(**options: Any) -> Case:
    return case(Linear(5), Tanh(), Linear(2), x=X, loss=Mse(), target=TARGET, **options)


def question(stage: Stage) -> Question:
    """One term's `mean` as the objective, its `sum` beside it."""
    (losses,) = stage.network.forward(stage.point).losses
    shape = np.shape(losses)
    weights = [stage.observables.weights(0, reduction, stage.arrays, shape) for reduction in ("mean", "sum")]
    return Question(weights[0], {"sum": weights[1]}, forward_noise(stage))


def of(net: Case, name: str, scheme: str, **options: Any) -> Estimate:
    stage = stage_of(net)
    return estimate(stage, name, SCHEMES[scheme], question(stage), **options)


def exact(net: Case) -> Evidence:
    return gather(net, "", lambda done, total, name: None)


@schemes
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_error_covers_the_truth_and_is_as_small_as_the_scheme_allows(scheme: Scheme, reduction: str) -> None:
    heard = exact(dense(reduction=reduction, method=scheme.name))
    for name, found in heard.estimates.items():
        truth = heard.gradient(name)
        off = np.abs(found.value - truth) - 1e-15 * np.abs(truth).max()
        assert (off <= found.error).all(), name
        assert found.error.max() <= ACCURACY[scheme.name] * np.abs(truth).max(), name
        assert found.error.max() >= 1e-5 * ACCURACY[scheme.name] * np.abs(truth).max(), name


@schemes
def test_error_covers_the_truth_in_a_hundred_random_slopes(scheme: Scheme) -> None:
    x = normal(100, 1, seed=5)
    net = case(
        plug(lambda x: np.exp(np.sin(3 * x)), lambda x: 3 * np.cos(3 * x) * np.exp(np.sin(3 * x))),
        x=x, loss=Mse(), target=0 * x, method=scheme.name,
    )  # fmt: skip
    heard = exact(net)
    found = heard.estimates["input"]
    truth = 6 * np.cos(3 * x) * np.exp(2 * np.sin(3 * x)) / 100
    assert (np.abs(found.value - truth) <= found.error + 1e-16).mean() >= 0.99


def test_step_is_the_schemes_at_the_scale_of_the_array() -> None:
    for scheme in SCHEMES.values():
        if scheme.is_complex:
            assert step_for(scheme, 1e6 * X) == scheme.relative_step()
            continue
        for scale in (1e-8, 1.0, 1e5):
            ratio = step_for(scheme, scale * X) / (scale * scheme.relative_step())
            assert 0.6 < ratio < 1.7
            assert np.log2(step_for(scheme, scale * X)).is_integer()
        assert step_for(scheme, np.zeros(3)) == scheme.relative_step()


def test_step_of_choice_is_taken_as_it_is() -> None:
    found, wide = (of(dense(), "linear_1.weight", "central", step=h) for h in (1e-4, 1e-2))
    assert (found.step, wide.step) == (1e-4, 1e-2)
    assert wide.error.max() > 100 * found.error.max()


def test_entry_is_restored_exactly_for_arguments_far_greater_than_the_step() -> None:
    big = plug(lambda x: np.sin(x - 1e7), lambda x: np.cos(x - 1e7))
    x = 1e7 + normal(5, 2)
    heard = exact(case(big, x=x, loss=Mse(), target=0 * x, method="central", step=1e-5))
    found = heard.estimates["input"]
    truth = 2 * np.sin(x - 1e7) * np.cos(x - 1e7) / 10
    assert (np.abs(found.value - truth) <= found.error).all()


def test_numbers_in_si_units_are_not_too_small_for_the_complex_step() -> None:
    layer = plug(lambda x: np.tanh(1e31 * x), lambda x: 1e31 / np.cosh(1e31 * x) ** 2)
    net = case(layer, Linear(2), x=9.1e-31 * np.abs(X), loss=Mse(), target=TARGET)
    heard = exact(net)
    assert {estimate.scheme for estimate in heard.estimates.values()} == {"complex"}
    np.testing.assert_allclose(heard.estimates["input"].value, heard.gradient("input"), rtol=1e-12)


@schemes
def test_some_entries_are_estimated_as_they_would_be_among_all(scheme: Scheme) -> None:
    wanted = np.array([7, 2, 11, 2])
    for name in ("linear_1.weight", "input"):
        whole, part = of(dense(), name, scheme.name), of(dense(), name, scheme.name, entries=wanted)
        assert part.checked.reshape(-1)[wanted].all()
        np.testing.assert_allclose(part.value[part.checked], whole.value[part.checked], rtol=1e-9)
        assert not part.value[~part.checked].any()
        assert whole.checked.all()


@pytest.mark.parametrize("name", ["linear_1.weight", "input"])
def test_no_entries_are_no_work(name: str) -> None:
    stage = stage_of(dense())
    found = climb(stage, name, np.zeros(0, dtype=int), SCHEMES["central"], question(stage), np.array([1e-5, 1e-6]))
    assert found.values.shape == found.noise.shape == found.kink.shape == (2, 0)
    assert found.magnitude.shape == found.reduced["sum"].shape == (0,)


@schemes
def test_chunks_change_nothing_but_the_work(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    x = zero_in(normal(3, 4))
    whole = {
        name: _watched(case(Linear(3), Relu(), Linear(2), x=x), name, scheme) for name in ("linear_1.weight", "input")
    }
    monkeypatch.setattr(sweep, "CHUNK", 30)
    for name, expected in whole.items():
        found = _watched(case(Linear(3), Relu(), Linear(2), x=x), name, scheme)
        np.testing.assert_allclose(found.value, expected.value, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(found.kink, expected.kink)
        np.testing.assert_allclose(found.magnitude, expected.magnitude, rtol=1e-9, atol=1e-12)
        assert found.checked.all()


def _watched(net: Case, name: str, scheme: Scheme) -> Estimate:
    stage = stage_of(net)
    return estimate(stage, name, scheme, _probe(stage), KinkWatch(stage.network, stage.arrays))


def test_other_reductions_are_by_products_of_the_same_differences() -> None:
    for name in ("linear_1.weight", "input"):
        found = of(dense(), name, "central")
        np.testing.assert_allclose(found.reduced["sum"], 12 * found.value, rtol=1e-13)


def test_magnitude_is_the_sum_over_samples_of_absolute_derivatives() -> None:
    found = of(dense(), "linear_1.bias", "complex")
    net = dense(reduction="sum")
    each = [of(_sample(net, i), "linear_1.bias", "complex").value / 6 for i in range(6)]
    np.testing.assert_allclose(found.magnitude, np.abs(each).sum(axis=0), rtol=1e-12)
    assert (found.magnitude > np.abs(found.value)).any()


def _sample(net: Case, i: int) -> Case:
    own = {name: net.point.arrays[name] for name in net.point.parameters}
    one = slice(i, i + 1)
    return case(Linear(5), Tanh(), Linear(2), x=X[one], loss=Mse(), target=TARGET[one], parameters=own)


@pytest.mark.parametrize("net", [dense, lambda: case(Linear(3), Centred(), x=X, loss=Declared(), target=normal(6, 3))])
def test_progress_counts_every_entry_up_to_the_last(net: Any) -> None:
    for name in ("linear_1.weight", "input"):
        seen: list[int] = []
        of(net(), name, "complex", tick=seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == net().point.arrays[name].size


def zero_in(x: Any) -> Any:
    """One entry exactly zero."""
    x[1, 2] = 0
    return x


@pytest.mark.parametrize("scheme", ["complex", "central"])
@pytest.mark.parametrize("layers", [(Relu(),), (relu_with(1.0), Linear(2))], ids=["alone", "in front of another"])
def test_entry_on_a_kink_is_marked_and_no_other(scheme: str, layers: Any) -> None:
    stage = stage_of(case(*layers, x=zero_in(normal(3, 4))))
    watch = KinkWatch(stage.network, stage.arrays)
    found = estimate(stage, "input", SCHEMES[scheme], _probe(stage), watch)
    np.testing.assert_array_equal(np.argwhere(found.kink), [[1, 2]])


def _probe(stage: Stage) -> Question:
    weights = np.ones(stage.observables.width)
    return Question(weights, {}, np.full(len(weights), 1e-16))


@pytest.mark.parametrize("scheme", ["complex", "central"])
def test_parameter_is_marked_whichever_sample_meets_the_kink(scheme: str) -> None:
    own = {"linear_1.weight": np.eye(2), "linear_1.bias": np.zeros(2)}
    stage = stage_of(case(Linear(2), Relu(), x=np.array([[1.0, 2.0], [-3.0, 0.0], [0.5, 0.5]]), parameters=own))
    watch = KinkWatch(stage.network, stage.arrays)
    found = estimate(stage, "linear_1.bias", SCHEMES[scheme], _probe(stage), watch)
    np.testing.assert_array_equal(found.kink, [False, True])


def test_entry_next_to_a_kink_is_marked_by_real_steps_and_not_by_the_complex_one() -> None:
    x = zero_in(normal(3, 4))
    for beside in (1e-7, -1e-7):
        stage = stage_of(case(Relu(), x=np.where(x == 0, beside, x)))
        watch = KinkWatch(stage.network, stage.arrays)
        assert estimate(stage, "input", SCHEMES["central"], _probe(stage), watch).kink.sum() == 1
        assert estimate(stage, "input", SCHEMES["five_point"], _probe(stage), watch).kink.sum() == 1
        assert not estimate(stage, "input", SCHEMES["complex"], _probe(stage), watch).kink.any()


def test_unit_beside_another_that_sits_on_its_kink_is_not_marked() -> None:
    for beside in (1e-8, -1e-8):
        stage = stage_of(case(Relu(), x=np.array([[0.0, beside, 1.0]])))
        watch = KinkWatch(stage.network, stage.arrays)
        found = estimate(stage, "input", SCHEMES["complex"], _probe(stage), watch)
        np.testing.assert_array_equal(found.kink, [[True, False, False]])


def test_error_covers_what_cancels_where_the_prediction_is_the_target() -> None:
    """-t / p + (1 - t) / (1 - p) is 0 there: what is left is rounding.

    Where 1 - p is exact, only a wider precision shows it.
    """
    p = np.round(np.random.default_rng(0).uniform(0.1, 0.9, (5, 3)), 3).astype(np.float32).astype(float)
    found = of(case(x=p, loss=Bce(), target=p), "input", "complex")
    assert found.value.any()
    assert (np.abs(found.value) <= found.error).all()
    assert (found.error < 1e-14).all()


def test_difference_of_losses_that_are_zero_at_the_point_is_rounded_all_the_same() -> None:
    """All weights and losses are 0, so that neither forward nor what moves has any noise."""
    zeros = {"linear_1.weight": np.zeros((4, 2)), "linear_1.bias": np.zeros(2)}
    found = of(case(Linear(2), x=X, loss=WassersteinGenerator(), parameters=zeros), "linear_1.weight", "central")
    assert (found.error > 0).all()
    assert (found.error < 1e-14).all()
    assert (np.abs(found.value + X.mean(axis=0)[:, None] / 2) <= found.error).all()


# A wider precision ----------------------------------------------------------------------------------------------------

extended = pytest.mark.skipif(
    np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps, reason="long double is no wider than float64 here"
)


def cancelling(*layers: Any) -> Case:
    """Two samples, normalised, are 1 and -1 whatever they are: all but nothing of the gradient cancels."""
    return case(*layers, BatchNorm(), Tanh(), x=1e2 * normal(2, 3), loss=Mse(), target=normal(2, 3))


def in_long_double(net: Case, name: str = "input") -> tuple[Estimate, Estimate | None]:
    """The usual estimate, and the one in a wider precision of every entry."""
    stage = stage_of(net)
    found = estimate(stage, name, SCHEMES["complex"], question(stage))
    return found, estimate_in_wider_precision(stage, name, question(stage), found, np.arange(found.value.size))


@extended
def test_wider_precision_is_sharper_and_its_error_covers_the_truth() -> None:
    net = cancelling()
    found, wide = in_long_double(net)
    assert wide is not None
    truth = gradient(net.network, wider(net.point)).gradients["input"].astype(float)
    assert (np.abs(wide.value - truth) <= wide.error).all()
    assert (wide.error < found.error / 4).all()


@extended
def test_entry_that_changes_nothing_has_no_rounding_of_others_in_a_wider_precision() -> None:
    table = {"embedding_1.weight": 1e3 * normal(5, 3)}
    net = case(
        Embedding(5, 3), BatchNorm(), x=np.array([0, 1, 3]), loss=Mse(), target=normal(3, 3), parameters=table
    )  # fmt: skip
    _, wide = in_long_double(net, "embedding_1.weight")
    assert wide is not None
    unused = wide.error[[2, 4]]
    assert (unused <= 1e-14 * np.abs(wide.value).max()).all()
    assert (unused < wide.error[[0, 1, 3]].min()).all()


def test_forward_of_somebody_else_is_not_asked_in_a_wider_precision() -> None:
    _, wide = in_long_double(cancelling(plug(lambda x: x, lambda x: np.ones_like(x))))
    assert wide is None


def test_forward_that_refuses_a_wider_precision_or_answers_in_another_is_no_witness(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert in_long_double(cancelling(Gelu()))[1] is None
    forward = Tanh.forward
    monkeypatch.setattr(
        Tanh, "forward", lambda self, x: forward(self, x.astype(float) if x.dtype.kind == "f" else x)
    )  # fmt: skip
    assert in_long_double(cancelling())[1] is None
