"""--baseline: what is known does not count, what is new does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gradcheck._cli_baseline import Baseline, Known
from gradcheck.cli import main
from gradcheck.errors import UsageError
from gradcheck.findings import Finding, SpecReport

LAYERS = """\
from gradcheck import Layer

class Twice(Layer):
    def forward(self, x):
        return 2 * x, None

    def backward(self, dy, cache):
        return dy, {}

class Thrice(Twice):
    def forward(self, x):
        return 3 * x, None
"""
SPEC = """\
data: {batch_size: 2, inputs: {shape: [3]}, targets: {shape: [3]}}
network: [%s]
loss: mse
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run specs/net.yaml with a network of these layers -> exit code and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs").mkdir()
    (tmp_path / "layers.py").write_text(LAYERS, encoding="utf-8")

    def run_it(network: str, *options: str) -> tuple[int, str]:
        Path("specs/net.yaml").write_text(SPEC % network, encoding="utf-8")
        capsys.readouterr()
        code = main(["run", "specs/net.yaml", "--plugin", "layers.py", "--format", "concise", *options])
        return code, capsys.readouterr().err

    return run_it


def entries() -> list[tuple[str, ...]]:
    document = json.loads(Path("known.json").read_text(encoding="utf-8"))
    assert document["version"] == 1
    return [(e["spec"], e["layer"], e["parameter"]) for e in document["findings"]]


def test_a_known_mistake_is_green_a_new_one_red_and_nothing_is_written_unasked(run) -> None:
    known = ("--baseline", "known.json")
    code, said = run("twice", *known)
    assert (code, Path("known.json").exists()) == (2, False)
    assert "there is no baseline known.json; --baseline-update writes one" in said
    assert run("tanh, twice")[0] == 1
    code, said = run("tanh, twice", *known, "--baseline-update")
    assert (code, entries()) == (0, [("specs/net.yaml", "twice_1", "")])
    assert "known.json: 1 finding added, 0 taken out, 0 kept" in said
    before = Path("known.json").read_bytes()
    assert run("tanh, twice, tanh", *known)[0] == 0
    assert run("tanh, twice, thrice", *known)[0] == 1
    code, said = run("tanh", *known)
    assert code == 0
    assert "known.json: 1 finding in it is no longer found; --baseline-prune takes out what is not" in said
    assert Path("known.json").read_bytes() == before


def test_update_adds_and_prune_takes_out(run) -> None:
    known = ("--baseline", "known.json")
    run("twice", *known, "--baseline-update")
    code, said = run("thrice", *known, "--baseline-update")
    assert [layer for _, layer, _ in entries()] == ["thrice_1", "twice_1"]
    code, said = run("thrice", *known, "--baseline-prune")
    assert (code, [layer for _, layer, _ in entries()]) == (0, ["thrice_1"])
    assert "0 findings added, 1 taken out, 1 kept" in said
    assert run("twice", *known, "--baseline-prune")[0] == 1  # a prune adds nothing
    assert entries() == []


def test_what_was_not_looked_for_is_not_stale(run) -> None:
    run("twice", "--baseline", "known.json", "--baseline-update")
    for options in (["--select", "GC2"], ["--entry", "input[0,0]"]):
        _, said = run("tanh", "--baseline", "known.json", "--baseline-prune", *options)
        assert "0 taken out, 1 kept" in said


def test_excused_findings_are_in_the_report(run, capsys: pytest.CaptureFixture[str]) -> None:
    run("twice", "--baseline", "known.json", "--baseline-update")
    assert main(["run", "specs/net.yaml", "--plugin", "layers.py", "--baseline", "known.json", "--format", "json"]) == 0
    (spec,) = json.loads(capsys.readouterr().out)["specs"]
    assert (spec["verdict"], spec["findings"]) == ("pass", [])
    assert {each["by"] for each in spec["silenced"]} == {"baseline"}
    assert spec["counts"]["fail"] == 6


@pytest.mark.parametrize(("text", "said"), [
    ("{", "known.json is no baseline: "), ("[]", "is no baseline of version 1: its version is None"),
    ('{"version": 2}', "its version is 2"), ('{"version": 1}', "`findings` is NoneType; expected a list"),
    ('{"version": 1, "findings": [{"spec": "a"}]}', "findings[0] is {'spec': 'a'}; expected strings for spec, layer"),
    ('{"version": 1, "findings": [{"spec": "a", "layer": "", "parameter": "", "code": "GC0"}]}', "findings[0] is"),
])  # fmt: skip
def test_a_broken_file_is_refused(text: str, said: str, run) -> None:
    Path("known.json").write_text(text, encoding="utf-8")
    code, told = run("relu", "--baseline", "known.json", "--baseline-update")
    assert code == 2
    assert said in told
    assert Path("known.json").read_text(encoding="utf-8") == text


def test_options_that_do_not_go_together(run) -> None:
    assert "Name it with --baseline FILE.json" in run("relu", "--baseline-update")[1]
    assert "there is no folder" in run("relu", "--baseline", "no/known.json", "--baseline-update")[1]
    code, said = run("relu", "--baseline", "same.json", "--baseline-update", "--report", "json=same.json")
    assert (code, "same.json would overwrite the output" in said) == (2, True)


def test_a_spec_that_is_gone_is_stale_and_what_ran_out_of_time_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    baseline = Baseline(path, frozenset({Known("gone.yaml", "a", "", "GC100")}), update=True, prune=True)
    findings = tuple(Finding(f"f{k}", code, "error", "a", "x") for k, code in enumerate(("GC903", "GC100", "GC501")))
    spec = baseline.apply(
        SpecReport(str(tmp_path / "b.yaml"), "b", "fail", 0, findings=findings), lambda code: True, True
    )
    assert [finding.code for finding in spec.findings] == ["GC903"]
    assert baseline.finish() == f"{path}: 2 findings added, 1 taken out, 0 kept"
    again = Baseline.read(path)
    assert {entry.code for entry in again.known} == {"GC100", "GC501"}
    with pytest.raises(UsageError, match="cannot be read"):
        Baseline.read(tmp_path)
