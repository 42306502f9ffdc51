"""`--directions` on the command line and in a spec: documents, refusals, replays."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcheck.catalogue import Catalogue
from gradcheck.cli import main
from gradcheck.errors import UsageError
from gradcheck.pipeline import run_spec
from gradcheck.spec.read import Overrides
from gradcheck.workers.driver import run_jobs
from gradcheck.workers.run import Orders
from gradcheck.workers.tasks import Job

NET = """\
data:
  batch_size: 3
  inputs: {shape: [4], fill: normal}
  targets: {shape: [2], fill: normal}
network:
  - linear: {out_features: 3}
  - tanh
  - wrong_once: {out_features: 2}
loss: mse
"""
PLUGIN = """\
from dataclasses import dataclass
from gradcheck.layers.linear import Linear

@dataclass(frozen=True)
class WrongOnce(Linear):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        weight = gradients["weight"].copy()
        weight[1, 0] *= 2
        return dx, {**gradients, "weight": weight}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(NET, encoding="utf-8")
    Path("right.yaml").write_text(NET.replace("wrong_once", "linear"), encoding="utf-8")
    Path("mine.py").write_text(PLUGIN, encoding="utf-8")
    return tmp_path


def spec_of(text: str) -> Any:
    (found,) = json.loads(text)["specs"]
    return found


def test_the_document_has_directions_and_the_course(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "right.yaml", "--directions", "3", "--format", "json"]) == 0
    found = spec_of(capsys.readouterr().out)
    assert found["verdict"] == "pass"
    assert found["course"].startswith("Probed along 3 random directions")
    for row in found["parameters"] + found["inputs"]:
        assert (row["checked"], row["worst"]) == (0, None)
        assert row["counts"] == {"pass": 0, "fail": 0, "inconclusive": 0, "kink": 0}
        assert row["directions"] == {"drawn": 3, "pass": 3, "fail": 0}


def test_every_entry_is_swept_by_default_and_the_report_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "right.yaml"]) == 0
    assert "Every entry was swept: about 0.001 s by the size of the network." in capsys.readouterr().out


def test_the_report_for_people_counts_directions(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "right.yaml", "--directions", "2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "10 directions probed: 10 pass, 0 fail, 0 inconclusive, 0 kink." in out
    assert "mistake in one entry of usual size that could have been seen" in out
    assert "pass: Along every direction" in out
    assert "entries checked" not in out


def test_a_finding_is_repeated_by_its_own_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", "net.yaml", "--plugin", "mine.py", "--directions", "4", "--format", "json"]
    assert main(command) == 1
    (finding,) = spec_of(capsys.readouterr().out)["findings"]
    assert (finding["parameter"], finding["index"]) == ("wrong_once_1.weight", [1, 0])
    assert "--directions 4" in finding["replay"]
    again = shlex.split(finding["replay"])[1:]
    assert main([*again, "--format", "json"]) == 1
    found = spec_of(capsys.readouterr().out)
    (row,) = [row for row in found["parameters"] if row["checked"]]
    assert (row["name"], row["checked"], row["verdict"]) == ("wrong_once_1.weight", 1, "fail")
    assert found["findings"][0]["index"] == [1, 0]


def test_concise_names_the_entry(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "net.yaml", "--plugin", "mine.py", "--directions", "4", "--format", "concise"]) == 1
    first, last = capsys.readouterr().out.strip().split("\n")
    assert "wrong_once_1.weight[1, 0] backward says" in first
    assert last.startswith("1 spec: 1 fail. 20 directions probed: 16 pass, 4 fail")


def test_a_dump_has_them(here: Path) -> None:
    assert main(["run", "right.yaml", "--directions", "2", "--dump", "g.npz"]) == 0
    with np.load("g.npz") as found:
        assert found["linear_1.weight/directions"].shape == (2, 4, 3)
        assert set(np.unique(found["input/directions"]).tolist()) == {-1, 1}


@pytest.mark.parametrize("value", ["-1", "two", "1e3", "10001", ""])
def test_a_wrong_number_is_refused_in_a_sentence(value: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "right.yaml", "--directions", value]) == 2
    said = capsys.readouterr().err
    assert f"the number of directions is {value!r}; expected a whole number from 0 (every entry) to 10,000" in said


@pytest.mark.parametrize(("value", "found"), [("3", 3), ("0", None), ("auto", None)])
def test_a_spec_may_say_so(value: str, found: int | None, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("right.yaml").read_text(encoding="utf-8") + f"checks: {{gradient: {{directions: {value}}}}}\n"
    Path("right.yaml").write_text(text, encoding="utf-8")
    assert main(["run", "right.yaml", "--format", "json"]) == 0
    drawn = spec_of(capsys.readouterr().out)["inputs"][0]["directions"]
    assert (drawn and drawn["drawn"]) == found


@pytest.mark.parametrize("value", ["-1", "many", "1.5", "[2]"])
def test_a_spec_that_says_something_else_is_refused(value: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("right.yaml").read_text(encoding="utf-8") + f"checks: {{gradient: {{directions: {value}}}}}\n"
    Path("right.yaml").write_text(text, encoding="utf-8")
    assert main(["run", "right.yaml"]) == 2
    out = " ".join(capsys.readouterr().out.split())
    assert "right.yaml:10:33: `directions` must be an integer ≥ 0 and ≤ 10000 or `auto`, got" in out


def test_overrides_from_python_are_held_to_the_same(here: Path) -> None:
    with pytest.raises(UsageError, match="--directions must be an integer"):
        run_spec("right.yaml", NET.replace("wrong_once", "linear"), Catalogue(), Overrides(directions=-1))


def test_every_direction_is_a_task_and_the_report_the_same(here: Path) -> None:
    text = Path("net.yaml").read_text(encoding="utf-8")
    job = Job("net.yaml", text, ("mine.py",), Overrides(directions=3), str(here))
    ((_, found),) = run_jobs([job], Orders(), lambda *_: None)
    alone = run_spec("net.yaml", text, Catalogue(("mine.py",)), Overrides(directions=3))
    assert found.report == alone.report  # type: ignore[union-attr]


def test_directions_that_time_did_not_suffice_for_are_not_judged(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "right.yaml", "--directions", "9", "--max-time", "1e-9", "--format", "json"]) == 1
    found = spec_of(capsys.readouterr().out)
    assert found["verdict"] == "inconclusive"
    assert [finding["code"] for finding in found["findings"]] == ["GC903"]


def test_the_schema_knows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert re.search(r'"directions": \{\s+"anyOf"', capsys.readouterr().out)
