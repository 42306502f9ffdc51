"""The README shows what the program prints, and what it tells users to write works."""

from __future__ import annotations

import html
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gradcheck.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Rounding depends on the processor, and with it which entry is the worst; everything else does not.
_ROUNDING = (
    (re.compile(r"(^.*[┤│└].*\n)+", re.MULTILINE), "(picture)\n"),
    (re.compile(r"\b\d+ steps from"), "(number) steps from"),
    (re.compile(r"\w[\w.]*\[[\d, ]+\]"), "(entry)"),
    (re.compile(r"(?<![\w.])-?(\d+(\.\d+)?e[-+]\d+|\d+\.\d+)(?!\w)"), "(number)"),
    (re.compile(r"─+"), "(line)"),
    (re.compile(r"\s+"), " "),
    (re.compile(r"(?<= )0(?= (\(number\)|pass\b))"), "(number)"),
)


def steady(text: str) -> str:
    """The words of a text, without what rounding decides and without line breaks."""
    for pattern, instead in _ROUNDING:
        text = pattern.sub(instead, text)
    return text.strip()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_picture", ROOT / "scripts" / "readme_picture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_outputs_and_tables_are_those_of_now(script: ModuleType) -> None:
    now = script.refreshed(README)
    assert steady(now) == steady(README), "python scripts/readme_picture.py brings the README up to date"
    assert len(blocks("console")) == 3
    assert (
        "| `linear` | Affine map of the last axis. | `y = x W + b` | `out_features (required)`, `bias: true` |" in now
    )


def test_the_shown_spec_is_the_one_that_ships() -> None:
    assert blocks("yaml")[0] == (ROOT / "specs" / "mlp_batch32.yaml").read_text(encoding="utf-8")
    assert blocks("console")[0].startswith("$ gradcheck run specs/mlp_batch32.yaml\n")


def test_the_first_command_shows_a_proof_and_the_second_a_refutation() -> None:
    proof, refutation, _ = map(steady, blocks("console"))
    assert "pass: Every entry agrees" in proof
    assert "Guilty: layer flipped_sign_1" in refutation


def test_the_picture_is_the_output(script: ModuleType) -> None:
    svg = (ROOT / "docs" / "report.svg").read_text(encoding="utf-8")
    shown = html.unescape(" ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))).replace("\xa0", " ")
    command, printed = blocks("console")[0].removeprefix("$ ").split("\n", 1)
    assert steady(shown).startswith(command)
    assert "".join(steady(shown).removeprefix(command).split()) == "".join(steady(printed).split())


def test_the_picture_loads_nothing(script: ModuleType) -> None:
    svg = script.picture("gradcheck run specs/mlp_batch32.yaml")
    for text in (svg, (ROOT / "docs" / "report.svg").read_text(encoding="utf-8")):
        assert "@font-face" not in text
        assert "url(http" not in text
        assert "cdnjs" not in text


def test_there_are_two_commands() -> None:
    (commands,) = blocks("sh")
    first, second = commands.splitlines()
    assert first == "python -m pip install . && gradcheck run specs/mlp_batch32.yaml"
    assert second == "python -m pip install '.[test]' && python -m pytest -n auto"


def test_the_shown_plugin_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _, gate, layer, bags, loss = blocks("python")
    Path("mine.py").write_text(f"{layer}\n\n{bags}\n\n{loss}", encoding="utf-8")
    Path("mine.yaml").write_text(
        "data:\n"
        "  batch_size: 3\n"
        "  inputs: {shape: [2], fill: normal}\n"
        "  targets: {shape: [2], fill: normal}\n"
        "network:\n"
        "  - scaled_tanh: {gain: 2.0}\n"
        "loss:\n"
        "  token_mean: {reduction: mean}\n",
        encoding="utf-8",
    )
    assert main(["run", "mine.yaml", "--plugin", "mine.py"]) == 0
    shown: dict[str, Any] = {"__name__": "shown"}
    exec(gate, shown)
    shown["test_tanh"]()
    Path("bags.yaml").write_text(
        "data:\n"
        "  batch_size: 3\n"
        "  inputs: {ids: {shape: [5], fill: integers, high: 10}, weights: {shape: [5]}}\n"
        "  targets: {y: {shape: [4]}, total: {shape: [1]}}\n"
        "network:\n"
        "  - bags\n"
        "loss:\n"
        "  - mse: {inputs: bags_1.0, target: y}\n"
        "  - mse: {inputs: bags_1.1, target: total}\n",
        encoding="utf-8",
    )
    capsys.readouterr()
    assert main(["run", "bags.yaml", "--plugin", "mine.py", "--format", "json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["specs"]
    assert [row["name"] for row in report["parameters"] + report["inputs"]] == ["bags_1.table", "weights"]


def test_the_shown_grammar_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits.yaml").write_text(blocks("yaml")[1], encoding="utf-8")
    shapes = {"conv2d_1.weight": (6, 1, 3, 3), "conv2d_1.bias": 6, "head.weight": (600, 10), "head.bias": 10}
    np.savez("weights.npz", **{name: np.ones(shape) for name, shape in shapes.items()})
    assert main(["validate", "digits.yaml"]) == 0
    Path("graph.yaml").write_text(blocks("yaml")[2], encoding="utf-8")
    assert main(["run", "graph.yaml"]) == 0


def test_the_exit_codes_are_those_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--help"])
    shown = re.findall(r"^  +(\d+)  ", capsys.readouterr().out, re.MULTILINE)
    assert shown == re.findall(r"^\| (\d+) \| ", README, re.MULTILINE)
