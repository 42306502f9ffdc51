from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from operator import neg
from typing import Any

import numpy as np
import pytest
import trust
from _trust import alarms, bars, comparison, criteria, equivalences, fixed, nets, peers, replay, sensitivity
from _trust.inputs import sources
from _trust.nets import SMALL, Net, Profile, draw_net
from _trust.planting import Mistake, plant
from _trust.pool import Pool
from _trust.recipes import DATA_NAMES, NoRecipe, Sizes, Units, draw_unit, reads_integers
from msgspec import structs
from rich.console import Console

import gradcheck.evidence
import gradcheck.pipeline
from gradcheck.errors import ShapeError
from gradcheck.gradients.analytic import gradient
from gradcheck.layers._base import Layer
from gradcheck.layers.add import Add
from gradcheck.layers.dropout import Dropout
from gradcheck.layers.embedding import Embedding
from gradcheck.layers.layer_norm import LayerNorm
from gradcheck.layers.linear import Linear
from gradcheck.layers.reshape import Reshape
from gradcheck.layers.softplus import Softplus
from gradcheck.layers.split import Split
from gradcheck.layers.sqrt import Sqrt
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.l2_penalty import L2Penalty
from gradcheck.losses.mse import Mse
from gradcheck.pipeline import run_case

UNITS = Units.of_catalogue()


@dataclass(frozen=True)
class Halved(Linear):
    """Right forward, a backward that loses half of the weight's gradient."""

    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = Linear.backward(self, dy, cache)
        return dx, {**gradients, "weight": gradients["weight"] / 2}


class Raises(Tanh):
    def backward(self, dy: Any, cache: Any) -> Any:
        raise ZeroDivisionError("never divide by zero")


class Sum(Layer):
    def check(self, *x_shapes: Any) -> None:
        if len(set(x_shapes)) > 1:
            raise ShapeError("needs two inputs of one shape")

    def forward(self, a: Any, b: Any) -> Any:
        return a + b, None

    def backward(self, dy: Any, cache: Any) -> Any:
        return (dy, dy), {}


class Nowhere(Tanh):
    def check(self, *x_shapes: Any) -> None:
        raise ShapeError("needs a shape that nobody has")


@dataclass(frozen=True)
class Unknown(Tanh):
    scheme: bytes


def units(**layers: Any) -> Units:
    return Units({"linear": Linear, **layers}, {"mse": Mse})


def a_net(units: Units, index: int = 0) -> Net:
    return draw_net(units, 5, index, SMALL)


@pytest.fixture
def few_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of little: its nets are quickly drawn and checked."""
    monkeypatch.setattr(Units, "of_catalogue", classmethod(lambda cls: units(tanh=Tanh)))


@pytest.fixture
def unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether something is wrong is known before the mistake is looked for by name."""
    monkeypatch.setattr(gradcheck.pipeline, "diagnosed", lambda findings, accused: tuple(findings))


# Drawing --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn() -> list[Net]:
    """Nets as the full run draws them."""
    return [draw_net(UNITS, 0, index) for index in range(24)]


def test_every_layer_and_loss_of_the_catalogue_comes_up_in_turn() -> None:
    """In nets of any size: one that is thrown away for its size has shown its layer already."""
    names, any_size = sorted(UNITS.layers), Profile(depth=(1, 3), entries=(0, 10**6), traits=False)
    drawn = [draw_net(UNITS, 0, index, any_size) for index in range(max(len(UNITS.layers), len(UNITS.losses)))]
    assert all(names[index % len(names)] in net.layers for index, net in enumerate(drawn))
    assert {type(net.loss) for net in drawn} == set(UNITS.losses.values())


def test_a_net_is_the_same_whenever_it_is_drawn_and_differs_from_the_next() -> None:
    assert draw_net(UNITS, 3, 8).described() == draw_net(UNITS, 3, 8).described()
    np.testing.assert_equal(draw_net(UNITS, 3, 8).case().point.arrays, draw_net(UNITS, 3, 8).case().point.arrays)
    assert draw_net(UNITS, 4, 8).described() != draw_net(UNITS, 3, 8).described()


def test_float32_nets_hold_the_same_numbers_rounded() -> None:
    net = draw_net(UNITS, 0, 5)
    wide, narrow = net.case("float64").point.arrays, net.case("float32").point.arrays
    assert wide.keys() == narrow.keys()
    assert all(
        np.array_equal(narrow[name], wide[name].astype(np.float32)) for name in wide if wide[name].dtype.kind == "f"
    )


def test_zero_backgrounds_zero_biases_ties_and_scales_are_drawn(drawn: list[Net]) -> None:
    traits = {trait for net in drawn for trait in net.traits}
    assert {"zero background", "zero biases", "input on a grid", "scaled parameters", "scaled loss"} <= traits


def test_half_of_a_zero_background_is_zero_and_other_inputs_are_not(drawn: list[Net]) -> None:
    zeros: dict[str, list[float]] = {"zero background": [], "normal input": []}
    for net in drawn:
        for trait in zeros.keys() & set(net.traits):
            zeros[trait].append(float(np.mean(net.data["input"] == 0)))
    assert min(zeros["zero background"]) >= 0.5
    assert max(zeros["normal input"]) == 0


def test_the_sizes_of_a_net_differ_where_they_can() -> None:
    net = draw_net(units(tanh=Tanh), 1, 0)
    arrays = net.assembled().arrays
    own = [step for step in net.steps if not step.written and f"{step.name}.weight" not in net.ties]
    widths = [step.layer.out_features for step in own if isinstance(step.layer, Linear)]
    sizes = [*arrays["input"].shape, *widths]
    assert len(widths) > 1
    assert len(set(sizes)) == len(sizes)


def test_layers_are_used_again_and_weights_are_tied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "_REUSED", 1.0)
    drawn = [draw_net(units(tanh=Tanh), 2, index) for index in range(6)]
    assert {"shared layer", "tied weight"} <= {trait for net in drawn for trait in net.traits}
    for net in drawn:
        places = {node.name: node for node in net.case().network.nodes}
        for step in net.steps:
            if step.written:
                assert places[step.name].parameters == places[step.written].parameters
        assert all(places[tied.partition(".")[0]].parameters["weight"] == name for tied, (name, _) in net.ties.items())


def test_a_layer_with_two_inputs_is_drawn_without_a_recipe() -> None:
    drawn = [a_net(units(sum=Sum), index) for index in range(1, 8, 2)]
    assert all(len(step.inputs) == 2 for net in drawn for step in net.steps if isinstance(step.layer, Sum))


def test_a_layer_of_positive_numbers_stands_behind_one_that_gives_them() -> None:
    for index in (2, 5):
        names = a_net(units(softplus=Softplus, sqrt=Sqrt), index).layers
        assert "softplus" in names[: names.index("sqrt")]


def test_masks_of_every_kind_are_drawn_for_attention() -> None:
    layer, rng = UNITS.layers["scaled_dot_product_attention"](), np.random.default_rng(0)
    masks = [found[3] for found in (sources(rng, layer, (3, 4, 5)) for _ in range(200)) if len(found) == 4]
    assert {(mask.array.dtype.kind, mask.shared) for mask in masks} == {(k, s) for k in "bif" for s in (False, True)}
    assert {mask.array.ndim for mask in masks if mask.shared} == {2}


def test_a_layer_gets_inputs_of_the_net_that_are_drawn_for_it() -> None:
    kinds = {name: UNITS.layers[name] for name in ("lstm", "scaled_dot_product_attention")}
    drawn = [a_net(units(**kinds), index) for index in range(2, 29, 3)]
    assert any(net.shared for net in drawn)
    assert sum(len(net.case().point.inputs) > 1 for net in drawn) > 3
    for net in drawn:
        point = net.case("float32").point
        assert point.inputs == tuple(name for name in net.data if name not in DATA_NAMES)
        assert net.shared == set(net.data) - point.batched
        assert [line.split()[0] for line in net.described()[: len(point.inputs)]] == list(point.inputs)


def test_layers_that_take_several_inputs_take_different_ones() -> None:
    drawn = [a_net(units(tanh=Tanh, add=Add), index) for index in range(0, 24, 3)]
    taken = [step.inputs for net in drawn for step in net.steps if isinstance(step.layer, Add)]
    assert any(len(set(inputs)) > 1 for inputs in taken)
    assert {len(inputs) for inputs in taken} == {2, 3}


def test_a_layer_that_reads_integers_comes_first_and_gets_them() -> None:
    assert reads_integers(Embedding)
    assert not any(reads_integers(kind) for kind in (Linear, Tanh, Add, Dropout, LayerNorm))
    for index in range(0, 6, 2):
        net = a_net(units(embedding=Embedding), index)
        assert net.layers[0] == "embedding"
        assert net.data["input"].dtype.kind == "i"
        assert "integer input" in net.traits
        assert net.case().network.nodes[0].constants == {}


@pytest.mark.parametrize(("kind", "shape"), [(LayerNorm, (2, 3, 4)), (Reshape, (2, 6, 5)), (Split, (2, 5))])
def test_options_that_depend_on_the_input_are_drawn_to_fit_it(kind: Any, shape: Any) -> None:
    sizes, fitting = Sizes(np.random.default_rng(0)), 0
    for _ in range(40):
        with suppress(ShapeError):
            draw_unit(kind, sizes, shape).check(shape)
            fitting += 1
    assert fitting >= 20


def test_an_input_that_several_layers_take_is_no_place_for_a_mistake() -> None:
    net = next(net for index in range(0, 30, 3) if _twice(net := a_net(units(tanh=Tanh, add=Add), index)))
    assert "input" not in sensitivity._taken_once(net.case())
    assert set(net.case().point.parameters) <= set(sensitivity._taken_once(net.case()))


def _twice(net: Net) -> bool:
    return sum(step.inputs.count("input") for step in net.steps) > 1


@pytest.mark.parametrize(("kind", "why"), [(Nowhere, "in vain"), (Unknown, "option `scheme`")])
def test_a_layer_that_cannot_be_drawn_is_named(kind: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "_ATTEMPTS", 9)
    with pytest.raises(NoRecipe, match=rf"{kind.__name__.lower()}.*{why}"):
        a_net(units(**{f"zz_{kind.__name__.lower()}": kind}), 1)


def test_a_net_that_cannot_be_drawn_fails_the_run_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "_ATTEMPTS", 9)
    monkeypatch.setattr(Units, "of_catalogue", classmethod(lambda cls: units(zz_nowhere=Nowhere)))
    trials = [alarms.trial(task) for task in alarms.tasks(0, [0, 1], SMALL)]
    found = criteria.of_alarms(alarms.by_configuration(trials), alarms.coverage(trials, units()), len(trials))
    assert found[0].met is False
    assert "zz_nowhere" in found[0].found


# False alarms ---------------------------------------------------------------------------------------------------------


def test_correct_nets_are_counted_entry_by_entry() -> None:
    net = a_net(units(tanh=Tanh))
    one = alarms.judged(net)
    point = net.case().point
    entries = sum(point.arrays[name].size for name in (*point.parameters, *point.inputs))
    assert [(check.method, check.dtype) for check in one.checks] == list(alarms.CONFIGURATIONS)
    assert [check.entries for check in one.checks] == [entries] * 5
    tally = alarms.by_configuration([one])["all"]
    assert (tally.nets, tally.entries, tally.fail, tally.unclean) == (5, 5 * entries, 0, [])


@pytest.mark.usefixtures("unnamed")
def test_a_wrong_layer_among_the_correct_ones_shows_up_as_an_alarm() -> None:
    trials = [alarms.judged(a_net(Units({"linear": Halved}, {"mse": Mse})))]
    tallies = alarms.by_configuration(trials)
    assert all(tallies[name].fail > 0 and tallies[name].unclean == [0] for name in tallies if name != "all")
    found = criteria.of_alarms(tallies, alarms.coverage(trials, units()), 1)
    unmet = [one.name for one in found if one.met is False]
    assert "entries of correct nets called `fail`" in unmet
    assert "checks of correct nets with any alarm" in unmet
    assert alarms.worst_first(trials) == trials


def test_an_error_bar_that_does_not_cover_the_error_shows_up_as_a_false_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(honest: Any) -> Any:
        def estimate(*arguments: Any, **options: Any) -> Any:
            found = honest(*arguments, **options)
            return structs.replace(found, value=found.value * (1 + 1e-9))

        return estimate

    net = a_net(units(tanh=Tanh), 1)
    assert not alarms.checked(net, "auto", "float64").alarm
    for owner in (gradcheck.evidence.Scene, gradcheck.evidence):
        monkeypatch.setattr(owner, "estimate", careless(owner.estimate))
    assert alarms.checked(net, "auto", "float64").fail > 0


def test_an_exception_is_an_alarm_and_says_where() -> None:
    net = a_net(Units({"raises": Raises, "linear": Linear}, {"mse": Mse}), 1)
    check = alarms.checked(net, "auto", "float64")
    assert check.alarm
    assert "ZeroDivisionError at backward" in check.errors[0]


def test_a_failed_equivalence_is_an_alarm_of_its_own() -> None:
    check = alarms.Check("auto", "float64", passed=3, accused=("per_sample",))
    assert check.alarm
    assert alarms.tally([(7, check)]).accused == {**dict.fromkeys(alarms.EQUIVALENCES, 0), "per_sample": 1}


@pytest.mark.parametrize("what", [{"fail": 1}, {"accused": ("reduction",)}, {"errors": ("GC901 it raised",)}])
def test_any_accusation_is_an_alarm_and_doubt_is_none(what: dict[str, Any]) -> None:
    assert alarms.Check("auto", "float64", **what).alarm
    assert not alarms.Check("auto", "float64", passed=1, inconclusive=5, kink=2).alarm


def test_shares_are_given_with_and_without_kinks() -> None:
    tally = alarms.tally([(0, alarms.Check("auto", "float64", passed=6, inconclusive=1, kink=3))])
    assert tally.share(tally.inconclusive) == pytest.approx(1 / 10)
    assert tally.share(tally.inconclusive, without_kinks=True) == pytest.approx(1 / 7)


# Equivalences ---------------------------------------------------------------------------------------------------------


class Clipped(Tanh):
    """A backward that clips where nothing is to be clipped in this run."""

    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return np.clip(dx, -50, 50), gradients


def test_correct_nets_are_asked_for_the_equivalences_alone() -> None:
    found = [equivalences.asked(a_net(units(tanh=Tanh)), dtype) for dtype in equivalences.DTYPES]
    tallies = equivalences.tally(found)
    assert not equivalences.alarms(found)
    assert all(tallies[dtype]["contract"] == {"pass": 1} for dtype in equivalences.DTYPES)
    assert set(found[0].verdicts) == set(equivalences.CHECKS)


def test_a_broken_contract_is_an_alarm_though_no_entry_is_wrong() -> None:
    net = a_net(Units({"linear": Linear, "clipped": Clipped}, {"mse": Mse}), 1)
    said = equivalences.asked(net, "float64")
    assert equivalences.alarms([said]) == [said]
    assert said.against[0].startswith("GC504 clipped")
    (_, criterion) = criteria.of_equivalences([said], [said], 1)
    assert (criterion.met, criterion.found) == (False, "1 of 1")


def test_an_exception_is_an_alarm_of_the_equivalences_too() -> None:
    said = equivalences.asked(a_net(Units({"raises": Raises, "linear": Linear}, {"mse": Mse}), 1), "float32")
    assert "ZeroDivisionError at backward" in said.against[0]


# Sensitivity ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["linear_1.weight", "input"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_mistake_is_planted_where_it_is_said_and_nowhere_else(name: str, whole: bool) -> None:
    case = fixed.workload("MLP 5-16-3, tanh, MSE", (0,))
    index = (1, 2)
    right = gradient(case.network, case.point).gradients
    wrong = gradient(plant(case, Mistake(name, None if whole else index, 0.5)).network, case.point).gradients
    factor = np.ones_like(right[name])
    factor[... if whole else index] = 1.5
    np.testing.assert_array_equal(wrong[name], right[name] * factor)
    for other in ("linear_1.bias", "linear_3.weight"):
        np.testing.assert_array_equal(wrong[other], right[other])


def test_a_mistake_can_be_planted_in_a_loss_without_layers() -> None:
    structure: fixed.Structure = ((), "mse", "sum", (3, 2))
    case = fixed.fixed_case(structure, (0,))
    right = gradient(case.network, case.point).gradients["input"]
    wrong = gradient(plant(case, Mistake("input", (1, 1), 1.0)).network, case.point).gradients["input"]
    np.testing.assert_array_equal(wrong / right, [[1, 1], [1, 2], [1, 1]])


def test_a_mistake_is_planted_in_the_penalty_that_the_gradient_comes_from() -> None:
    case = a_net(Units({"linear": Linear}, {"l2_penalty": L2Penalty})).case()
    name = case.network.terms[0].predictions[0]
    index = (0,) * case.point.arrays[name].ndim
    right = gradient(case.network, case.point).gradients
    wrong = gradient(plant(case, Mistake(name, index, 0.5)).network, case.point).gradients
    assert wrong[name][index] == pytest.approx(1.5 * right[name][index])
    assert right[name][index]


@pytest.mark.usefixtures("unnamed")
def test_a_planted_mistake_is_caught_and_its_absence_is_not() -> None:
    case = fixed.workload("MLP 5-16-3, tanh, MSE", (1,))
    for r, verdict in [(1e-10, "fail"), (0.0, "pass"), (1e-18, "pass")]:
        assert sensitivity.judged(case, Mistake("linear_1.weight", (2, 3), r), (2, 3)) == verdict
        assert sensitivity.judged(case, Mistake("linear_1.weight", None, r), (2, 3)) == verdict


@pytest.mark.usefixtures("few_units", "unnamed")
def test_each_setting_plants_entries_and_tensors_at_two_scales_of_the_loss() -> None:
    found = sensitivity.trial((0, 1, 0))
    assert [(catch.what, catch.scale) for catch in found] == list(sensitivity.KINDS)
    assert {catch.verdict for catch in found} == {"fail"}


@pytest.mark.usefixtures("few_units")
def test_an_entry_is_planted_alone_and_a_tensor_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    planted: list[Mistake] = []

    def judged(case: Any, mistake: Mistake, index: tuple[int, ...]) -> str:
        planted.append(mistake)
        return "fail"

    monkeypatch.setattr(sensitivity, "judged", judged)
    found = sensitivity.trial((0, 1, 1))
    assert [mistake.index for mistake in planted] == [catch.index if catch.what == "entry" else None for catch in found]
    assert {mistake.r for mistake in planted} == {1e-6}


def test_missed_mistakes_lower_the_share_and_fail_the_run() -> None:
    catch = sensitivity.Catch("differences", "entry", 1.0, 0, "w", (0,), 1.0, "fail")
    catches = [catch, catch, replace(catch, verdict="inconclusive"), replace(catch, verdict="pass")]
    share = next(s for s in sensitivity.shares(catches) if s.trials)
    assert (share.caught, share.inconclusive, len(share.missed)) == (0.5, 0.25, 2)
    assert criteria.of_sensitivity([share])[1].met is False


def test_a_loss_that_refuses_complex_numbers_leaves_differences_alone() -> None:
    net = a_net(units(tanh=Tanh), 1)
    for method, used in [("auto", {"complex"}), ("real", {"central"})]:
        report = run_case(net.case(method=method), "").report
        assert {row.method for row in report.rows} == used
        assert report.verdict == "pass"


# Bars -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", range(len(bars.NETWORKS)))
def test_fifty_digits_and_backward_agree_to_the_last_digits(net: int) -> None:
    pytest.importorskip("mpmath", reason="mpmath is not installed")
    from _trust import precise

    case = fixed.fixed_case(bars.NETWORKS[net], (3, net))
    found = gradient(case.network, case.point).gradients
    for name in (*case.point.parameters, *case.point.inputs):
        index = (0,) * found[name].ndim
        assert found[name][index] == pytest.approx(float(precise.derivative(case, name, index)), rel=1e-12, abs=1e-15)


def test_true_errors_lie_inside_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mpmath", reason="mpmath is not installed")
    monkeypatch.setattr(bars, "peer_witnesses", lambda case: {})
    rows = {row.witness: row for row in bars.accuracies(bars.trial((0, 0, 2)))}
    assert {rows[f"gradcheck, {method}"].inside for method in bars.METHODS} == {1.0}
    assert (rows["gradcheck, central"].ratio or 0) > 1


def test_an_error_beyond_its_bar_is_counted_and_fails_the_run() -> None:
    good = bars.Sample("gradcheck, central", 0, "w", (0,), truth=2.0, error=1e-9, bar=1e-7)
    samples = [good, replace(good, error=1e-6), replace(good, error=1e-10)]
    samples += [replace(good, witness=f"gradcheck, {method}") for method in ("complex", "real")]
    rows = bars.accuracies(samples)
    assert (rows[0].inside, rows[0].ratio, len(rows[0].outside)) == (pytest.approx(2 / 3), pytest.approx(100), 1)
    met = {one.name: one.met for one in criteria.of_bars(rows)}
    assert met["true error inside the bar, gradcheck, central"] is False
    assert met["true error inside the bar, gradcheck, complex"] is True


# Peers ----------------------------------------------------------------------------------------------------------------


def test_the_smallest_mistake_seen_is_found_by_bisection(monkeypatch: pytest.MonkeyPatch) -> None:
    def clumsy(case: Any) -> bool:
        objective = peers.Objective(case)
        right = peers.Objective(fixed.workload("MLP 5-16-3, tanh, MSE", (0, 0), weight=case.network.terms[0].weight))
        pairs = zip(objective.gradients(objective.arrays), right.gradients(right.arrays), strict=True)
        return not all(np.allclose(a, b, rtol=5e-5, atol=0) for a, b in pairs)

    monkeypatch.setitem(peers.CHECKERS, "clumsy", peers.Checker("numpy", clumsy))
    found = comparison.reach(("clumsy", "MLP 5-16-3, tanh, MSE", 0, 0))
    assert [one.smallest for one in found] == [1e-4] * 4
    assert comparison.reached(found) == 1e-4
    assert comparison.reached([replace(found[0], smallest=None), *found]) is None


def test_gradcheck_accuses_no_workload() -> None:
    assert not any(peers.accuses("gradcheck", fixed.workload(name, (0,))) for name in fixed.WORKLOADS)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.torch if "torch" in name else ()) for name in peers.CHECKERS]
)
def test_a_checker_accuses_a_doubled_tensor_and_not_the_correct_one(name: str) -> None:
    checker = peers.CHECKERS[name]
    pytest.importorskip(checker.package, reason=f"{checker.package} is not installed")
    case = fixed.workload("MLP 5-16-3, tanh, MSE", (0,))
    assert not peers.accuses(name, case)
    assert peers.accuses(name, plant(case, Mistake("linear_1.weight", None, 1.0)))


def test_a_checker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peers.CHECKERS, "absent", peers.Checker("no_such_package", lambda case: True))
    assert peers.CHECKERS["absent"].missing == "no_such_package is not installed"
    assert "absent" not in comparison.runnable()


# The command ----------------------------------------------------------------------------------------------------------


def test_results_do_not_depend_on_the_number_of_workers() -> None:
    with Pool(2) as several, Pool(0) as none:
        assert several.each(neg, range(9), "numbers") == none.each(neg, range(9), "numbers") == [-k for k in range(9)]


@pytest.mark.usefixtures("few_units", "unnamed")
def test_a_run_prints_its_tables_and_writes_its_figures(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in (alarms, equivalences):
        monkeypatch.setattr(part, "tasks", partial(part.tasks, profile=SMALL))
    monkeypatch.setattr(sensitivity, "SETTINGS", sensitivity.SETTINGS[:2])
    equivalences.units.cache_clear()
    run = trust.Run(trust.Size(nets=1, trials=1), seed=0, pool=Pool(0), console=Console(width=200))
    destination = tmp_path / "trust.json"
    with run.console.capture() as shown:
        trust.measured(run, ("alarms", "equivalences", "sensitivity"), destination)
    figures = json.loads(destination.read_text())
    assert "False alarms on correct networks" in shown.get()
    assert "Equivalences and the contract on correct networks" in shown.get()
    assert figures["equivalences"]["verdicts"]["float32"]["contract"] == {"pass": 1}
    assert figures["alarms"]["configurations"]["all"]["nets"] == 5
    assert {one["name"] for one in figures["criteria"]} >= {"nets", "planted mistakes called `fail`, worst kind"}


@pytest.mark.usefixtures("few_units")
def test_one_net_again_says_what_it_is_and_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "draw_net", partial(draw_net, profile=SMALL))
    console = Console(width=200)
    with console.capture() as shown:
        clean = replay.show_net(console, 0, 0)
    lines = shown.get().splitlines()
    assert clean
    assert lines[0].startswith("input (")
    assert sum(line.startswith(("auto, ", "central, ", "real, ")) for line in lines) == 5


def test_the_profile_of_the_full_run_is_what_is_asked_for(drawn: list[Net]) -> None:
    sizes = []
    for net in drawn:
        point = net.case().point
        sizes.append(sum(point.arrays[name].size for name in (*point.parameters, "input")))
    assert np.median(sizes) >= criteria.MEDIAN_ENTRIES
    assert np.median([len(net.steps) for net in drawn]) >= criteria.MEDIAN_LAYERS
