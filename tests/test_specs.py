"""The specs that ship: those that pass, and the planted mistakes, each held against what its head expects."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from gradcheck.catalogue import Catalogue
from gradcheck.cli import main
from gradcheck.gradients.analytic import gradient
from gradcheck.pipeline import check_case, run_spec
from gradcheck.spec.read import Overrides, read_case

ROOT = Path(__file__).parents[1]
SPECS = ROOT / "specs"
GOOD = sorted(SPECS.glob("*.yaml"))
WRONG = sorted((SPECS / "wrong").glob("*.yaml"))
CONTROLS = sorted((SPECS / "controls").glob("*.yaml"))
EXPECTED = ("exit", "layer", "code")


def run(capsys: pytest.CaptureFixture[str], spec: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """The command -> (exit code, the spec's part of the report)."""
    code = main(["run", str(spec), "--format", "json", *options])
    return code, json.loads(capsys.readouterr().out)["specs"][0]


def rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [*report["parameters"], *report["inputs"]]


def errors(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Findings of severity error that are not the consequence of another."""
    return [f for f in report["findings"] if f["severity"] == "error" and f["consequence_of"] is None]


def case_of(spec: Path, *plugins: str) -> Any:
    return read_case(str(spec), spec.read_text(encoding="utf-8"), Catalogue(plugins), Overrides())


def head(spec: Path) -> list[str]:
    """The comment that a spec opens with, line by line."""
    lines = spec.read_text(encoding="utf-8").splitlines()
    end = next(k for k, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").strip() for line in lines[:end]]


def expectations(spec: Path) -> dict[str, str]:
    """`expect: layer tanh_1` in the head -> {"layer": "tanh_1"}; `check gradient` is a key of two words."""
    found = [line.removeprefix("expect: ").rsplit(" ", 1) for line in head(spec) if line.startswith("expect: ")]
    return dict(found)


def corrected(plugin: str) -> str:
    """The plugin with its wrong line replaced by the right one, both as its docstring shows them."""
    wrong, right = (re.search(rf"^{word} +(.+)$", plugin, re.MULTILINE)[1] for word in ("wrong", "right"))
    end = plugin.index('"""', 3)
    lines = plugin[end:].split("\n")
    (place,) = [k for k, line in enumerate(lines) if line.strip() == wrong]
    lines[place] = lines[place].replace(wrong, right)
    return plugin[:end] + "\n".join(lines)


@pytest.mark.parametrize("spec", GOOD, ids=lambda path: path.stem)
def test_good_spec_passes(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run(capsys, spec)
    assert code == 0
    assert errors(report) == []
    assert report["verdict"] == ("kink" if spec.stem == "zero_background" else "pass")
    assert all(row["checked"] == sum(row["counts"].values()) for row in rows(report))
    assert all(row["checked"] == (0 if row["frozen"] else row["entries"]) for row in rows(report))
    assert any(row["frozen"] for row in rows(report)) == spec.stem.startswith("gan_")
    if spec.stem == "lenet_digits":
        assert {row["method"] for row in rows(report)} == {"complex"}
        assert max(row["max_rel_error"] for row in rows(report)) < 1e-9


@pytest.mark.parametrize("spec", [path for path in GOOD if path.stem.startswith("gan_")], ids=lambda path: path.stem)
def test_step_of_one_player_reaches_its_own_parameters_and_no_other(spec: Path) -> None:
    """The other's receive no gradient, although those of the generator's step come through the other."""
    case = case_of(spec)
    point = case.point
    mover = "generator" if spec.stem.endswith("generator") else "critic" if "critic" in spec.stem else "discriminator"
    assert {name.partition(".")[0] for name in point.parameters} == {mover}
    assert point.frozen
    assert mover not in {name.partition(".")[0] for name in point.frozen}
    gradients = gradient(case.network, point).gradients
    assert not set(gradients) & point.frozen
    assert all(gradients[name].any() for name in point.parameters if name != "critic.linear_2.bias")


def test_folder_passes_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder means the specs directly in it: the wrong ones below are not among them."""
    (tmp_path / "wrong").mkdir()
    for spec in ("softmax_cross_entropy.yaml", "linear_mse.yaml", "dead_unit.yaml", f"wrong/{WRONG[0].name}"):
        shutil.copy(SPECS / spec, tmp_path / spec)
    assert main(["run", str(tmp_path), "--format", "json"]) == 0
    names = [spec["name"] for spec in json.loads(capsys.readouterr().out)["specs"]]
    assert names == ["dead_unit", "linear_mse", "softmax_cross_entropy"]


def test_folder_that_ships_is_all_its_good_specs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(SPECS)]) == 0
    assert f"{len(GOOD)} specs read, 0 refused." in "".join(capsys.readouterr())


@pytest.mark.parametrize("spec", WRONG, ids=lambda path: path.stem)
def test_planted_mistake_is_found_and_the_only_one(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the line that its docstring calls right, whatever did not pass passes: nothing else was wrong."""
    code, report = run(capsys, spec, "--plugin", str(spec.with_suffix(".py")))
    expected = expectations(spec)
    assert (code, report["name"]) == (int(expected["exit"]), spec.stem)
    guilty = errors(report)
    assert any(f["layer"] == expected["layer"] and f["code"].startswith(expected["code"]) for f in guilty), guilty
    assert {f["layer"] for f in guilty} == {expected["layer"]}, "an innocent layer is accused"
    verdicts = {f"check {check['check']}": check["verdict"] for check in report["checks"]}
    assert verdicts | {key: value for key, value in expected.items() if key not in EXPECTED} == verdicts

    plugin = tmp_path / f"{spec.stem}.py"
    plugin.write_text(corrected(spec.with_suffix(".py").read_text(encoding="utf-8")), encoding="utf-8")
    refusing = {check["check"] for check in report["checks"] if check["verdict"] not in ("pass", "not_applicable")}
    case = case_of(spec, str(plugin))
    right = check_case(replace(case, checks=tuple(name for name in case.checks if name in refusing)))
    assert refusing
    assert {check.verdict for check in right.checks} <= {"pass", "kink"}, right.checks
    assert not [finding for finding in right.findings if finding.severity == "error"], right.findings


@pytest.mark.parametrize("spec", CONTROLS, ids=lambda path: path.stem)
def test_what_is_right_in_spite_of_its_looks_is_not_flagged(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meant = [line.removeprefix("ignore: ") for line in head(spec) if line.startswith("ignore: ")]
    options = [word for code in meant for word in ("--ignore", code)]
    code, report = run(capsys, spec, "--plugin", str(spec.with_suffix(".py")), *options)
    assert code == 0
    assert errors(report) == []
    assert bool(report["ignored"]) == bool(meant), "what is ignored is there"


def test_controls_are_complete() -> None:
    assert [path.stem for path in sorted((SPECS / "controls").glob("*.py"))] == [path.stem for path in CONTROLS]
    assert len(CONTROLS) >= 25


def test_planted_mistake_needs_its_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    """A spec is data: it imports no code by itself, not even the file beside it."""
    code, report = run(capsys, WRONG[0])
    assert (code, report["verdict"]) == (2, "refused")


def test_corpus_is_complete() -> None:
    plugins = sorted((SPECS / "wrong").glob("*.py"))
    assert [path.stem for path in plugins] == [path.stem for path in WRONG]
    assert len(WRONG) >= 15
    silent = [spec.stem for spec in WRONG if expectations(spec).get("check gradient") == "pass"]
    assert silent == [
        "auxiliary_scaled_twice", "averaged_over_uneven_ranks", "batch_of_one", "batch_statistic_in_loss",
        "buffer_returned_again", "cache_mutated", "cached_batch", "class_weights_averaged", "clipped_gradient",
        "divergence_over_elements", "divisor_n_instead_of_elements", "full_window_assumed", "ignored_targets_counted",
        "input_mutated", "longest_sequence_assumed", "mean_of_means", "parameters_stepped",
        "regulariser_per_micro_batch", "upstream_ignored", "upstream_mutated", "weights_by_number",
        "weights_normalised_by_n",
    ], "the gradient check alone would have passed these"  # fmt: skip


@pytest.mark.parametrize("spec", [*GOOD, *WRONG], ids=lambda path: path.stem)
def test_spec_opens_with_what_it_teaches(spec: Path) -> None:
    lines = head(spec)
    assert lines[0].endswith(".") or len(lines) > 1
    if spec in WRONG:
        assert set(EXPECTED) <= set(expectations(spec))
        assert any(line.startswith("teaches: ") for line in lines)


def test_mlp_has_the_parameters_that_its_comment_counts() -> None:
    point = case_of(SPECS / "mlp_128_64_10.yaml").point
    assert sum(point.arrays[name].size for name in point.all_parameters) == 8906
    assert point.arrays["input"].shape == (32, 128)


def test_batch_of_columns_is_read_with_samples_first() -> None:
    point = case_of(SPECS / "mlp_batch32.yaml").point
    columns = np.loadtxt(SPECS / "mlp_batch32_inputs.csv", delimiter=",")
    assert columns.shape == (5, 32)
    np.testing.assert_array_equal(point.arrays["input"], columns.T)


def test_digits_keep_their_labels() -> None:
    """Images and labels are drawn as pairs: no gradient check would miss them if they were not."""
    arrays = case_of(SPECS / "lenet_digits.yaml").point.arrays
    digits = np.load(SPECS / "digits.npz")
    for image, label in zip(arrays["input"], arrays["target"], strict=True):
        (place,) = np.flatnonzero((digits["images"] == image).all(axis=(1, 2, 3)))
        assert digits["labels"][place] == label


@pytest.mark.parametrize(("name", "divisor"), [("linear_mse", 1), ("softmax_cross_entropy", 6)])
def test_error_that_flows_back_is_prediction_minus_target(name: str, divisor: int) -> None:
    case = case_of(SPECS / f"{name}.yaml")
    analytic = gradient(case.network, case.point)
    y, target = analytic.trace.arrays["linear_1"], case.point.arrays["target"]
    if name == "linear_mse":
        prediction = y
    else:
        prediction, target = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True), np.eye(3)[target]
    np.testing.assert_allclose(analytic.gradients["linear_1"], (prediction - target) / divisor, rtol=1e-13, atol=1e-15)


def test_lenet_is_right_by_central_differences_as_by_the_complex_step() -> None:
    path = SPECS / "lenet_digits.yaml"
    central = run_spec(str(path), path.read_text(encoding="utf-8"), Catalogue(), Overrides(method="central"))
    assert central.report.verdict == "pass"
    for row in central.report.rows:
        assert row.method == "central"
        assert row.error_bar <= 1e-7 * np.abs(central.gradients[f"{row.name}/numeric"]).max()


def test_zero_background_has_kinks_and_no_false_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    """By differences; that the worst of its verdicts is a kink by the complex step, too, is seen above."""
    code, report = run(capsys, SPECS / "zero_background.yaml", "--method", "central")
    counts = {key: sum(row["counts"][key] for row in rows(report)) for key in ("fail", "inconclusive", "kink")}
    assert code == 0
    assert counts["kink"] > 0
    assert (counts["fail"], counts["inconclusive"]) == (0, 0)


def test_digits_are_those_of_scikit_learn() -> None:
    pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    description = spec_from_file_location("convert_digits", ROOT / "scripts" / "convert_digits.py")
    script = module_from_spec(description)
    description.loader.exec_module(script)
    with np.load(SPECS / "digits.npz") as kept:
        assert set(kept) == {"images", "labels"}
        for key, array in script.convert().items():
            np.testing.assert_array_equal(kept[key], array)
            assert kept[key].dtype == array.dtype


@pytest.mark.parametrize("method", ["auto", "central"])
def test_dead_unit_is_noted_with_what_it_hides(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run(capsys, SPECS / "dead_unit.yaml", "--method", method)
    assert code == 0
    (note,) = report["findings"]
    assert (note["code"], note["severity"], note["layer"]) == ("GC602", "note", "relu_1")
    assert note["message"].endswith(
        "nothing was tested in 5 of 15 entries of linear_1.weight and 4 of 12 entries of input"
    )
    assert {row["name"]: row["untested"] for row in rows(report) if row["untested"]} == {
        "linear_1.weight": 5, "input": 6,
    }  # fmt: skip
