from __future__ import annotations

import gc
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import versus_peers
from _versus import commands, criteria, growth, heats, ours, pool, rivals, scale, tables, timing
from _versus.by_hand import BY_HAND
from _versus.frameworks import Autograd, Jax, Numpy, Torch
from _versus.networks import STRUCTURES
from _versus.timing import Contestant, Timing
from _versus.workloads import LETTERS, SPECS, Workload, of_case, spec_case, workload
from rich.console import Console

from gradcheck.gradients.analytic import gradient

ENTRIES = {"A": 147, "B": 8906, "C": 8906, "D": 5910, "E": 203530}
FRAMEWORKS = {"torch": Torch, "jax": Jax, "autograd": Autograd}


@pytest.fixture(scope="module", autouse=True)
def nothing_of_others_is_garbage() -> Iterator[None]:
    """Garbage is collected before each sample: what other tests have left in memory is not looked through each time."""
    gc.freeze()
    yield
    gc.unfreeze()


def expected(found: Workload) -> tuple[float, list[Any]]:
    """The loss and the gradients of the parameters, by gradcheck's own layers."""
    analytic = gradient(found.case.network, found.case.point)
    loss = found.case.network.objective(analytic.trace)
    return loss, [analytic.gradients[name] for name in found.arrays]


def timed(name: str, *seconds: float) -> dict[str, Timing]:
    return {name: Timing(name, seconds)}


def heat(part: str, letter: str, **seconds: float) -> heats.Heat:
    rows = {"torch": rivals.TORCH_SLOW, "scipy": rivals.SCIPY, "naive": rivals.NAIVE, "sweep": rivals.SWEEP,
            "unit": rivals.UNIT, "direction": rivals.DIRECTION, "jax": rivals.JAX}  # fmt: skip
    timings = {rows[key]: Timing(rows[key], (value,) * 5) for key, value in seconds.items()}
    return heats.Heat(part, letter, ENTRIES[letter], timings)


def verdict(found: list[criteria.Criterion], words: str) -> bool | None:
    (met,) = [one.met for one in found if words in one.name]
    return met


# Workloads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", LETTERS)
def test_a_workload_has_the_size_it_is_known_for(letter: str) -> None:
    assert workload(letter).entries == ENTRIES[letter]


@pytest.mark.parametrize("letter", "ACD")
def test_forward_and_backward_by_hand_are_those_of_the_layers(letter: str) -> None:
    found = workload(letter)
    loss, gradients = BY_HAND[found.structure](found.x, found.target, *found.arrays.values())
    right, slopes = expected(found)
    assert loss == pytest.approx(right, rel=1e-12)
    for name, mine, theirs in zip(found.arrays, gradients, slopes, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("letter", "ACD")
def test_the_plain_network_is_the_spec(letter: str) -> None:
    found = workload(letter)
    loss = STRUCTURES[found.structure](Numpy, found.x, found.target)
    assert loss(*found.arrays.values()) == pytest.approx(expected(found)[0], rel=1e-12)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.torch if n == "torch" else ()) for n in FRAMEWORKS])
@pytest.mark.parametrize("letter", "ACD")
def test_every_framework_runs_the_same_network(name: str, letter: str) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed")
    framework, found = FRAMEWORKS[name](), workload(letter)
    arrays = [framework.array(array) for array in found.arrays.values()]
    loss = STRUCTURES[found.structure](framework, framework.array(found.x), framework.array(found.target))(*arrays)
    assert float(loss) == pytest.approx(expected(found)[0], rel=1e-12)


# Rivals ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [rivals.SCIPY, rivals.NAIVE, "numdifftools"])
@pytest.mark.parametrize("sampled", [False, True])
def test_those_that_give_a_gradient_give_that_of_the_entries_they_claim(name: str, sampled: bool) -> None:
    rival = next(one for one in rivals.EVERY_ENTRY if one.name == name)
    pytest.importorskip(rival.package, reason=f"{rival.package} is not installed")
    found = workload("A")
    run, share = rival.build(found, sampled)
    slopes = np.concatenate([np.ravel(part) for part in run()])
    assert share == pytest.approx(slopes.size / found.entries)
    right = [expected(found)[1][k].ravel() for k in found.moving(sampled)]
    np.testing.assert_allclose(slopes, np.concatenate(right), atol=1e-6)


def test_a_loop_leaves_the_parameters_as_they_were() -> None:
    found = workload("A")
    before = [array.copy() for array in found.arrays.values()]
    run, _ = next(one for one in rivals.EVERY_ENTRY if one.name == rivals.NAIVE).build(found, False)
    first, second = run(), run()
    np.testing.assert_equal(first, second)
    np.testing.assert_equal(list(found.arrays.values()), before)


@pytest.mark.parametrize("scheme", ["complex", "central"])
def test_the_sweep_gives_every_entry_of_every_parameter(scheme: str) -> None:
    found = workload("A")
    known = ours.ready(found.case)
    atol = 1e-14 if scheme == "complex" else 1e-8
    both = zip(ours.sweep(known, scheme), ours.sweep_with_bars(known, scheme), expected(found)[1], strict=True)
    for values, estimate, right in both:
        np.testing.assert_allclose(values.values[-1].reshape(right.shape), right, atol=atol)
        assert estimate.checked.all()
        np.testing.assert_allclose(estimate.value, right, atol=atol)


def test_a_thinned_sweep_covers_the_share_that_it_claims() -> None:
    found = workload("A")
    run, share = rivals.EVERY_ENTRY[1].build(found, True)
    assert sum(one.values.shape[1] for one in run()) == pytest.approx(share * found.entries)
    assert share < 0.1


def test_the_whole_pipeline_passes_the_workloads() -> None:
    assert ours.whole(workload("A").case) == "pass"


@pytest.mark.torch
@pytest.mark.parametrize("row", [rivals.EVERY_ENTRY[5], rivals.ONE_DIRECTION[2]], ids=lambda row: row.name)
def test_torch_is_content_and_moves_only_what_it_is_given(row: rivals.Rival) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    run, share = row.build(workload("A"), True)
    assert run() is True
    assert [tensor.requires_grad for tensor in run.args[1]] == [False, False, True, False]  # type: ignore[attr-defined]
    assert share == pytest.approx(48 / 147)


@pytest.mark.parametrize(("name", "package"), [(rivals.JAX, "jax"), (rivals.AUTOGRAD, "autograd")])
def test_the_others_are_content(name: str, package: str) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    run, _ = next(one for one in rivals.ONE_DIRECTION if one.name == name).build(workload("A"), False)
    assert run() is True


def test_an_accusation_is_an_answer_and_no_crash() -> None:
    def accuse() -> None:
        raise AssertionError("Not equal to tolerance")

    assert rivals._heard(accuse) is False


def test_what_is_not_installed_is_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = rivals.Rival("absent", lambda found, sampled: (list, 1.0), "no_such_package")
    monkeypatch.setattr(rivals, "RIVALS", {})
    monkeypatch.setattr(heats, "RIVALS", {"entries": (rivals.EVERY_ENTRY[0], absent)})
    assert heats.skipped("entries") == {"absent": "no_such_package is not installed"}
    assert list(heats.heat(("entries", "A", 1, True)).timings) == [rivals.UNIT]


def test_the_slow_are_starred_on_e_and_elsewhere_only_in_a_hurry() -> None:
    asked: list[bool] = []

    def build(found: Workload, sampled: bool) -> rivals.Timed:
        asked.append(sampled)
        return list, 0.5 if sampled else 1.0

    row = replace(next(one for one in rivals.EVERY_ENTRY if one.name == rivals.NAIVE), build=build)
    for letter, quick, part in [("A", True, 1.0), ("B", False, 1.0), ("B", True, 0.5), ("E", False, 0.5)]:
        assert row.contestant(replace(workload("A"), name=letter), quick).share == part
    whole = next(one for one in rivals.EVERY_ENTRY if one.name == rivals.WHOLE)
    assert [whole.races("E", quick) for quick in (False, True)] == [True, False]


# Timing ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only those who are timed move on."""
    now = [0.0]
    monkeypatch.setattr(timing, "perf_counter", lambda: now[0])
    return now


def taking(clock: list[float], name: str, seconds: float, log: list[str]) -> Contestant:
    def run() -> None:
        log.append(name)
        clock[0] += seconds

    return Contestant(name, run)


def test_rounds_are_interleaved_and_each_begins_with_another(clock: list[float]) -> None:
    log: list[str] = []
    slow, fast = taking(clock, "slow", 3.0, log), taking(clock, "fast", 1.5, log)
    found = timing.race([slow, fast], 2)
    assert [one.seconds for one in found] == [(3.0, 3.0), (1.5, 1.5)]
    assert log == ["slow", "fast", "slow", "fast", "fast", "slow"]


def test_what_is_short_is_called_until_a_sample_is_long_enough(clock: list[float]) -> None:
    log: list[str] = []
    (found,) = timing.race([taking(clock, "short", 0.01, log)], 1)
    assert found.seconds == (pytest.approx(0.01),)
    assert len(log) == 2 + 1 + 5, "two to learn how long it takes, one that is not timed, five that are"


def test_a_part_is_scaled_to_the_whole_and_starred(clock: list[float]) -> None:
    (found,) = timing.race([replace(taking(clock, "part", 2.0, []), share=0.25)], 1)
    assert (found.seconds, found.starred) == ((8.0,), True)


def test_ratios_are_taken_within_a_round() -> None:
    """A machine at half its speed in one round changes no ratio."""
    slow, fast = Timing("slow", (10.0, 20.0, 12.0)), Timing("fast", (1.0, 2.0, 1.0))
    found = timing.ratio(slow, fast)
    assert (found.median, found.low, found.high) == (10.0, 10.0, 12.0)
    assert str(found) == "10 (10 to 12)"
    assert str(timing.ratio(replace(slow, starred=True), fast)) == "10* (10 to 12)"


# Growth ---------------------------------------------------------------------------------------------------------------


def test_the_slope_is_that_of_the_power() -> None:
    assert growth.slope([1.0, 10.0, 100.0], [2.0, 2e2, 2e4]) == pytest.approx(2)


def test_growth_measures_what_it_says_and_plots_it() -> None:
    found = growth.Growth((1000, 10000, 100000), tuple(Timing(str(t), (t, 2 * t)) for t in (0.1, 1.0, 10.0)))
    assert found.decades == pytest.approx(2)
    assert (found.slope.low, found.slope.high) == (pytest.approx(1), pytest.approx(1))
    lines = growth.plot(found).splitlines()
    assert lines[0].startswith("     15 s │")
    assert lines[0].endswith("●")
    assert "●" in lines[-3].split("│")[1][:2]
    assert lines[-1].split() == ["1,000", "100,000", "parameters"]
    assert sum(line.count("●") for line in lines) == 3


def test_networks_of_the_growth_have_the_parameters_that_are_plotted() -> None:
    known = growth._with_inputs(3)
    point = known.case.point
    assert sum(point.arrays[name].size for name in point.parameters) == growth._EACH * 3 + growth._FIXED


# Whole processes and great networks -----------------------------------------------------------------------------------


def test_options_are_those_that_the_command_has() -> None:
    assert commands.offers("--method")
    assert not commands.offers("--no-such-option")


def test_workers_are_not_measured_without_the_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(commands, "offers", lambda option: False)
    for found in (commands.workers_on_one("a.yaml", 1), commands.workers_on_many(tmp_path, "a.yaml", 1, True)):
        assert found == commands.Commands(skipped="`gradcheck run` has no option --jobs")


def test_a_long_run_is_as_many_specs_as_it_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(commands, "offers", lambda option: True)
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(commands, "_python", lambda *arguments: started.append(arguments))
    times = iter([[Timing("-j 1", (4.5,))]])
    monkeypatch.setattr(commands, "race", lambda racing, rounds: next(times, racing))
    found: Any = commands.workers_on_many(tmp_path, "a.yaml", 5, True)
    copies = sorted(tmp_path.iterdir())
    assert len(copies) == 7
    assert spec_case(copies[2]).seed == 3
    for contestant, count in zip(found.timings, "12", strict=True):
        contestant.run()
        assert started[-1] == ("-m", "gradcheck", "run", "--jobs", count, *map(str, copies))


def test_a_command_that_fails_is_not_a_time() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        commands._python("-c", "raise SystemExit(3)")


@pytest.mark.parametrize(("spec", "entries"), [("million.yaml", 1_000_900), ("ten_million.yaml", 10_017_320)])
def test_great_networks_are_as_great_as_they_say(spec: str, entries: int) -> None:
    text = (SPECS / spec).read_text(encoding="utf-8")
    inputs, hidden = (
        int(text.partition(key)[2].split("}")[0].strip(" []").split("]")[0]) for key in ("shape: [", "out_features:")
    )
    assert inputs * hidden + hidden + hidden * 10 + 10 == entries
    assert f"{entries:,} parameters" in text


def test_memory_and_time_of_a_network_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "spec_case", lambda path, *overrides: spec_case(path))
    monkeypatch.setattr(scale, "Overrides", lambda directions: None)
    found = scale.measured(("a.yaml", 1))
    assert (found.parameters, found.verdict) == (147, "pass")
    arrays = found.network / 8
    assert arrays == 147 + 32 * (5 + 3 + 16 + 16 + 3)
    assert found.memory >= 0
    assert 1 < found.units.median < found.run_units.median


def test_the_structure_of_a_spec_is_recognised() -> None:
    assert [workload(letter).structure for letter in "ACD"] == ["tanh_mlp", "relu_mlp", "convnet"]
    assert of_case("A", workload("A").case).target.shape == (32, 3)


# Criteria -------------------------------------------------------------------------------------------------------------


def test_each_workload_has_its_own_bound_over_torch() -> None:
    found = criteria.of_heats(
        [heat("entries", "A", torch=59.0, sweep=1.0), heat("entries", "C", torch=15.0, sweep=1.0)]
    )
    assert [verdict(found, f"/ gradcheck, {letter}") for letter in "ABC"] == [False, None, True]


def test_the_nearest_workload_decides_and_all_must_be_raced() -> None:
    fine = [heat("entries", letter, scipy=9.0, naive=2.0, sweep=1.0) for letter in "ABCD"]
    assert verdict(criteria.of_heats(fine), "scipy") is None
    assert verdict(criteria.of_heats([*fine, heat("entries", "E", scipy=9.0, naive=1.0, sweep=1.0)]), "scipy") is True
    assert verdict(criteria.of_heats([*fine, heat("entries", "E", scipy=9.0, naive=1.0, sweep=1.0)]), "naive") is False
    assert verdict(criteria.of_heats([heat("entries", "B", naive=0.9, sweep=1.0)]), "naive") is False


def test_all_checks_may_cost_as_much_as_the_gradient_check_again() -> None:
    def checks(letter: str, whole: float) -> heats.Heat:
        rows = {rivals.ALONE: 1.0, rivals.WHOLE: whole}
        return heats.Heat("checks", letter, 100, {name: timing.Timing(name, (s,) * 5) for name, s in rows.items()})

    found = criteria.of_heats([checks("B", 1.9), checks("D", 2.1)])
    assert [verdict(found, f"alone, {letter}") for letter in "BD"] == [True, False]
    assert verdict(criteria.of_heats([checks("B", 1.9)]), "alone, D") is None


def test_directions_are_judged_in_units_and_against_the_others() -> None:
    raced = [heat("direction", letter, unit=1.0, jax=11.0, direction=10.0) for letter in LETTERS]
    found = criteria.of_heats(raced)
    assert verdict(found, "in forward + backward") is True
    assert verdict(found, "JAX") is True
    assert verdict(found, "torch") is None
    slower = [heat("direction", "B", unit=1.0, jax=11.0, direction=11.5)]
    assert verdict(criteria.of_heats(slower), "in forward + backward") is False
    assert verdict(criteria.of_heats(slower), "JAX") is False


def test_too_few_rounds_decide_nothing() -> None:
    few = heat("entries", "A", torch=1.0, sweep=1.0)
    few = replace(few, timings={name: Timing(name, one.seconds[:4]) for name, one in few.timings.items()})
    (first, *_) = criteria.of_heats([few])
    assert (first.met, first.found) == (None, "1 (1 to 1)")


def test_start_growth_and_workers_are_judged() -> None:
    def of(name: str, seconds: float) -> Timing:
        return Timing(name, (seconds,) * 5)

    for seconds, met in [(0.6, True), (0.7, False)]:
        found = commands.Commands([of(commands.RUN, seconds), of(commands.IMPORT, 1.0)])
        assert [one.met for one in criteria.of_start(found)] == [met]
    assert criteria.of_start(commands.Commands([of(commands.RUN, 1.0)], "torch is not installed"))[0].met is None
    for parameters, power, met in [((1, 100), 1.1, True), ((1, 100), 1.2, False), ((1, 10), 1.0, None)]:
        curve = growth.Growth(parameters, tuple(of("", n**power) for n in parameters))
        assert [one.met for one in criteria.of_growth(curve)] == [met]
    for alone, both, met in [(21.0, 15.0, True), (21.0, 16.0, False), (19.0, 9.0, None)]:
        long = commands.Commands([of("-j 1", alone), of("-j 2", both)])
        short = commands.Commands([of("-j 1", 1.0), of("-j 2", 1.06)])
        assert [one.met for one in criteria.of_workers(long, short)] == [met, False]


def test_great_networks_are_judged_by_time_and_memory() -> None:
    def of(units: float, memory: int) -> scale.Scale:
        timings = Timing("unit", (1.0,) * 5), Timing("probe", (units,) * 5), Timing("run", (2 * units,) * 5)
        return scale.Scale(10**6, 1.0, memory, 100, "pass", timings)

    assert [one.met for one in criteria.of_scale(of(30.0, 601), of(1.0, 1))] == [True, False, True]
    assert [one.met for one in criteria.of_scale(of(30.1, 600), None)] == [False, True, None]
    assert [one.met for one in criteria.of_scale(None, None)] == [None] * 3


# The command ----------------------------------------------------------------------------------------------------------


def a_run(**options: Any) -> versus_peers.Run:
    return versus_peers.Run(
        **{"rounds": 1, "quick": True, "workloads": ("A",), "console": Console(width=160), **options}
    )


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks run in this process, and only gradcheck and numpy race."""
    monkeypatch.setattr(versus_peers, "each", lambda function, tasks, what: map(function, tasks))
    monkeypatch.setattr(heats, "RIVALS", {"entries": rivals.EVERY_ENTRY[:2], "direction": rivals.ONE_DIRECTION[:2]})


@pytest.mark.usefixtures("here")
def test_a_run_prints_its_tables_and_writes_its_figures(tmp_path: Path) -> None:
    run, destination = a_run(), tmp_path / "versus_peers.json"
    with run.console.capture() as shown:
        assert versus_peers.measured(run, ("entries",), destination)
    figures = json.loads(destination.read_text())
    assert len(figures["entries"]["heats"][0]["timings"][rivals.SWEEP]["seconds"]) == 1
    assert {one["met"] for one in figures["criteria"]} == {None}
    assert f"{rivals.SWEEP} in forward + backward" in shown.get()
    assert "A (147)" in shown.get()


@pytest.mark.usefixtures("here")
def test_a_missed_criterion_is_what_the_exit_code_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missed = criteria.Criterion("start", "2", "≤ 1", False)
    monkeypatch.setitem(versus_peers.MEASURE, "start", lambda run: ({}, [missed]))
    with a_run().console.capture():
        assert not versus_peers.measured(a_run(), ("start",), tmp_path / "figures.json")


def test_without_gradcheck_no_table_compares_with_it() -> None:
    assert tables.ratios("direction", [heat("direction", "A", unit=1.0, jax=2.0)]) is None


def test_criteria_are_met_missed_or_not_measured() -> None:
    rows = [criteria.Criterion("one", "1", "≥ 1", True), criteria.Criterion("two", "2", "≥ 3", False),
            criteria.Criterion("three", "", "≥ 3", None), criteria.Criterion("four", "2", "≥ 3", None)]  # fmt: skip
    console = Console(width=100)
    with console.capture() as shown:
        console.print(tables.criteria(rows))
    words = [line.split("│")[1].strip() for line in shown.get().splitlines() if "│" in line]
    assert words == ["met", "missed", "not measured", "run too small"]


def test_others_start_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in pool.ONE_THREAD:
        monkeypatch.setenv(name, "4")
    pool.pin_threads()
    (found,) = pool.each(_environment, [tuple(pool.ONE_THREAD)], "a process")
    assert found == pool.ONE_THREAD


def _environment(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names}
