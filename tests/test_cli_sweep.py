"""`gradcheck sweep` as a command: exit codes, refusals in sentences, stdout with the document alone."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gradcheck.cli import main

NET = """\
data:
  batch_size: 3
  inputs: {shape: [4], fill: normal}
  targets: {shape: [2], fill: normal}
network:
  - linear: {out_features: 3}
  - tanh
  - linear: {out_features: 2, name: head}
loss: mse
"""
PLUGIN = """\
import os
import numpy as np
from gradcheck import Layer

class Shouting(Layer):
    def forward(self, x):
        print("from print")
        os.write(1, b"from a descriptor\\n")
        return np.abs(x), x

    def backward(self, dy, x):
        return dy * np.sign(x), {}

class Fragile(Layer):
    def forward(self, x):
        if np.abs(x).max() > 2:
            raise ValueError("too large")
        return x, None

    def backward(self, dy, cache):
        return dy, {}

class Mute(Layer):
    def forward(self, x):
        return x, None

    def backward(self, dy, cache):
        raise ValueError("no luck")

class Unborn(Layer):
    def init(self, rng, x_shape):
        raise ValueError("not today")

    def forward(self, x):
        return x, None

    def backward(self, dy, cache):
        return dy, {}
"""
ENTRY = ("--entry", "head.weight[2,1]")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """net.yaml; for each class of plugin.py a spec that has it in place of tanh, over inputs up to 1.99."""
    (tmp_path / "net.yaml").write_text(NET, encoding="utf-8")
    (tmp_path / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    for name in ("shouting", "fragile", "mute", "unborn"):
        text = NET.replace("  - linear: {out_features: 3}\n  - tanh", f"  - {name}")
        text = text.replace("{shape: [4], fill: normal}", "{values: [[1.99, 1], [0.1, -1], [1, 1]]}")
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "GRADCHECK_DEBUG", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)


def test_a_picture(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "net.yaml", *ENTRY]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("head.weight[2, 1]  net.yaml\nCentral differences at 105 steps.")
    assert max(map(len, out.splitlines())) <= 80
    assert "Expected 2, the order of the scheme." in " ".join(out.split())
    assert err == ""


@pytest.mark.parametrize("method", ["complex", "central", "five_point", "forward", "richardson"])
def test_every_method_and_every_point(method: str, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["sweep", "net.yaml", *ENTRY, "--method", method, "--seed", "5", "--format", "json"]
    assert main(arguments) == 0
    document = capfd.readouterr().out
    found = json.loads(document)
    assert (found["scheme"], found["seed"], found["index"]) == (method, 5, [2, 1])
    assert len(found["points"]) >= 105
    assert main(arguments) == 0
    assert capfd.readouterr().out == document


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(NET.encode())))
    assert main(["sweep", "-", *ENTRY, "--format", "json"]) == 0
    assert json.loads(capfd.readouterr().out)["path"] == "-"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["net.yaml"], "Sweep takes one --entry, such as --entry 'head.weight[3,5]'; got none."),
        (["net.yaml", *ENTRY, *ENTRY], "Sweep takes one --entry, such as --entry 'head.weight[3,5]'; got 2."),
        (["net.yaml", "--entry", "head.wieght[0,0]"], "'head.wieght'; did you mean `head.weight`?"),
        (["net.yaml", "--entry", "head.weight[3,0]"], "lies outside head.weight, whose shape is (3, 2)"),
        (["net.yaml", "--entry", "head.weight[0]"], "lies outside head.weight, whose shape is (3, 2)"),
        (["net.yaml", "--entry", "head.weight"], "is no entry; write it like 'head.weight[3, 5]'"),
        (["net.yaml", *ENTRY, "--method", "centrl"], "'centrl' is not one of"),
        (["net.yaml", *ENTRY, "--method", "auto"], "'auto' is not one of"),
        (["net.yaml", *ENTRY, "--seed", "-1"], "expected a whole number from 0"),
        (["nut.yaml", *ENTRY], "there is no file or folder nut.yaml; did you mean net.yaml?"),
        ([".", *ENTRY], "sweep takes one spec; . means 5, such as fragile.yaml"),
        (["mute.yaml", *ENTRY], "mute.yaml:6:5: unknown layer `mute`"),
        (["net.yaml", *ENTRY, "--plugin", "gone.py"], "gone.py"),
        (
            ["shouting.yaml", "--plugin", "plugin.py", "--entry", "input[0,0]", "--method", "complex"],
            "--method complex cannot be used on shouting.yaml: shouting_1 returns real numbers for complex ones",
        ),
    ],
)
def test_2_could_not_run_as_asked(arguments: list[str], sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", *arguments]) == 2
    out, err = capfd.readouterr()
    assert sentence in err
    assert out == ""


def test_1_the_plugin_raised(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "unborn.yaml", "--plugin", "plugin.py", "--entry", "input[0,0]"]) == 1
    assert capfd.readouterr() == ("", "gradcheck: unborn_1: init raised ValueError: not today\n")


def test_steps_that_leave_the_domain_of_a_forward_are_shown_as_lost(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "fragile.yaml", "--plugin", "plugin.py", "--entry", "input[0,0]"]) == 0
    out, err = capfd.readouterr()
    assert "nan" in out
    assert err == ""


def test_1_backward_raised_and_the_picture_is_drawn(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "mute.yaml", "--plugin", "plugin.py", "--entry", "input[1,0]"]) == 1
    out, err = capfd.readouterr()
    assert "backward        no value: mute_1: backward raised ValueError: no luck" in out
    assert err == "gradcheck: mute_1: backward raised ValueError: no luck\n"


def test_stdout_carries_the_document_alone(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["sweep", "shouting.yaml", "--plugin", "plugin.py", "--entry", "input[1,0]", "--format", "json"]
    assert main(arguments) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["reference"]["reason"].startswith("shouting_1 returns real numbers")
    assert "from print" in err
    assert "from a descriptor" in err


LIGHT = """\
import sys
from gradcheck.cli import main
for arguments, code in (["--help"], 0), (["net.yaml"], 2), (["net.yaml", "--entry", "x"], 2):
    assert main(["sweep", *arguments]) == code, arguments
    assert not {"numpy", "rich"} & set(sys.modules), arguments
"""


def test_help_and_usage_errors_are_light() -> None:
    """None of them in turn brings what is heavy into a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_ascii_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """That the command itself writes what its stdout can take is shown in test_cli."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["sweep", "net.yaml", *ENTRY]) == 0
    assert written.getvalue().isascii()
    assert b"\\u" not in written.getvalue()
    assert b"#  step to choose" in written.getvalue()
