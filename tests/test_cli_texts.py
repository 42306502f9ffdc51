"""`gradcheck list`, `explain`, `schema` and `--version` print what the code itself says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gradcheck import __version__
from gradcheck._cli_texts import PYTORCH, explain
from gradcheck.catalogue import Catalogue
from gradcheck.cli import main
from gradcheck.findings import CODES

TESTS = Path(__file__).parent


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "--version") == f"gradcheck {__version__}\n"


def test_list_layers(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "list", "layers")
    assert "\navg_pool2d: Mean of each window" in text
    assert "\nlinear: Affine map of the last axis.\n    forward     y  = x W + b  " in text
    assert "\n    options     out_features (required), bias: true\n" in text
    assert "\nrelu: Rectified linear unit.\n" in text
    assert "\n    verified    torch.nn.functional.linear of PyTorch 2.13; obvious loops\n    options     out_" in text


#: What a layer says that it was verified against -> what in its test, or in the laws that this takes, does it.
EVIDENCE = {
    "a scalar formula": "def test_is_its_scalar_formula",
    "obvious loops": r"assert_matches_reference\(|def test_is_the_obvious_loop",
}


@pytest.mark.parametrize("name", Catalogue().names("layers"))
def test_every_layer_says_what_it_was_verified_against_and_its_test_does_it(name: str) -> None:
    said = re.findall(r"^ +verified +(.+)$", Catalogue().find("layers", name).__doc__, re.MULTILINE)
    assert len(said) == 1
    test = (TESTS / "layers" / f"test_{name}.py").read_text(encoding="utf-8")
    taken = re.findall(r"from (\w+_laws) import", test)
    for law in taken:
        test += (text := (TESTS / f"{law}.py").read_text(encoding="utf-8"))
        taken += re.findall(r"from (\w+_laws) import", text)
    for each in said[0].split("; "):
        if not re.fullmatch(r"(a composition with )?torch\.[\w.]+", each):
            assert re.search(EVIDENCE[each], test), f"{name} says {each}"


def test_the_release_of_pytorch_is_the_one_that_is_installed_to_be_compared_with() -> None:
    project = (TESTS.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'reference = ["torch=={PYTORCH}.' in project


def test_list_layers_of_a_plugin(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plugin = tmp_path / "twice.py"
    body = "def forward(self, x): return x, None\n    def backward(self, dy, cache): return dy, {}\n"
    plugin.write_text(f"from gradcheck import Layer\nclass Twice(Layer):\n    {body}", encoding="utf-8")
    assert "\ntwice: (no docstring)\n    options     none\n" in shown(capsys, "list", "layers", "--plugin", str(plugin))


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_explained(code: str) -> None:
    assert explain(code).startswith(f"{code} {CODES[code]} (check: ")


@pytest.mark.parametrize(("code", "title"), [
    ("GC601", "A tensor whose true gradient is zero everywhere, although what it feeds moves."),
    ("GC602", "Units that give the same in every sample, whatever comes in."),
    ("GC603", "A tensor that the loss does not depend on."),
])  # fmt: skip
def test_code_with_a_text_of_its_own(code: str, title: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "explain", code)
    assert text.startswith(f"{code} {CODES[code]} (check: vacuity)\n\n{title}\n\n## What it is\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "What it is", "Why it is bad", "Typical causes", "How to repair", "How to silence",
    ]  # fmt: skip
    assert f"--ignore {code}" in text
    assert shown(capsys, "explain", CODES[code]) == text


def test_every_loss_is_listed_with_its_domain_reductions_and_divisors(capsys: pytest.CaptureFixture[str]) -> None:
    paragraphs = shown(capsys, "list", "losses").strip().split("\n\n")
    assert [text.partition(":")[0] for text in paragraphs] == Catalogue().names("losses")
    for text in paragraphs:
        facts = re.findall(r"^    (\w+)", text, re.MULTILINE)
        assert {"forward", "backward", "domain", "divisors", "reductions", "options"} <= set(facts), text


def test_list_losses_of_a_plugin(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plugin = tmp_path / "own.py"
    body = (
        "def forward(self, p, reduction): return p.sum(), p\n    def backward(self, u, cache): return u + 0 * cache\n"
    )
    plugin.write_text(f"from gradcheck import Loss\nclass Own(Loss):\n    reductions = ('sum',)\n    {body}", "utf-8")
    listed = shown(capsys, "list", "losses", "--plugin", str(plugin))
    assert "\nown: (no docstring)\n    reductions  sum\n    options     none\n" in listed


def test_list_losses_and_checks(capsys: pytest.CaptureFixture[str]) -> None:
    losses = shown(capsys, "list", "losses")
    assert "mse: Squared error.\n    forward     l  = w (p − t)²" in losses
    assert "    options     beta: 1.0, mean_over: losses, output_weight: null\n" in losses
    checks = shown(capsys, "list", "checks")
    assert checks.startswith("accumulation: Do micro-batches add up to the gradient of the whole batch?\n    GC401 ")
    assert "\n\ncontract: Does every forward and backward, called alone, keep the contract?\n    GC501 " in checks
    assert "\n\ngradient: Is backward the derivative of forward?\n    GC100 unexplained-mismatch\n" in checks


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "explain", "GC108")
    assert text.startswith(
        "GC108 dropped-gradient (check: gradient, a diagnosis)\n\nA gradient is dropped: zero where "
    )
    assert "\n\n## What it is" in text
    text = shown(capsys, "explain", "GC100")
    assert text.startswith("GC100 unexplained-mismatch (check: gradient)\n\nIs backward the derivative of forward?\n")
    text = shown(capsys, "explain", "GC108")
    assert shown(capsys, "explain", "dropped-gradient") == text


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(shown(capsys, "schema"))
    assert "draft-07" in schema["$schema"]
