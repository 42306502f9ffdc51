"""Options from the environment and from pyproject.toml."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gradcheck._cli_settings import environment_name, settings
from gradcheck.cli import _run, main
from gradcheck.errors import UsageError

SPEC = """\
data: {batch_size: 2, inputs: {shape: [3]}, targets: {shape: [3]}}
network: [%s]
loss: mse
"""
TWICE = """\
from gradcheck import Layer

class Twice(Layer):
    def forward(self, x):
        return 2 * x, None

    def backward(self, dy, cache):
        return dy, {}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a layer, and a folder in it from which commands are given."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "layers.py").write_text(TWICE, encoding="utf-8")
    (tmp_path / "inner" / "twice.yaml").write_text(SPEC % "twice", encoding="utf-8")
    (tmp_path / "inner" / "relu.yaml").write_text(SPEC % "relu", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "inner")
    for name in [name for name in os.environ if name.startswith("GRADCHECK_")]:
        monkeypatch.delenv(name)
    return tmp_path


def write(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, tuple[str, str]]:
    assert main(["run", "--show-settings", *arguments]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    return {row[0]: (row[1], " ".join(row[2:])) for row in rows}


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, '[tool.gradcheck]\nseed = 1\nfail_on = "never"\n\nstep = 1e-6\nplugins = ["layers.py"]\n')
    monkeypatch.setenv("GRADCHECK_SEED", "2")
    monkeypatch.setenv("GRADCHECK_ONLY_FAILURES", "yes")
    found = shown(capsys)
    assert found["seed"] == ("2", "GRADCHECK_SEED")
    assert found["fail-on"] == ("never", "../pyproject.toml:3")
    assert found["step"] == ("1e-06", "../pyproject.toml:5")
    assert found["plugin"] == ("../layers.py", "../pyproject.toml:6")
    assert found["only-failures"] == ("true", "GRADCHECK_ONLY_FAILURES")
    assert found["format"] == ("full", "default")
    assert shown(capsys, "--seed", "3")["seed"] == ("3", "command line")
    names = ["select", "ignore", "method", "rtol", "directions", "entry", "dump", "jobs", "executor", "max-memory"]
    assert set(names) < set(found)


def test_a_run_obeys(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "twice.yaml"]) == 2
    write(folder, '[tool.gradcheck]\nplugins = ["layers.py"]\nformat = "concise"\n')
    assert main(["run", "twice.yaml"]) == 1
    assert " error GC1" in capsys.readouterr().out
    monkeypatch.setenv("GRADCHECK_IGNORE", "GC1")
    assert main(["run", "twice.yaml"]) == 0
    assert main(["list", "layers"]) == 0
    assert "\ntwice: " in capsys.readouterr().out
    assert main(["sweep", "twice.yaml", "--entry", "input[0,0]"]) == 0


def test_the_nearest_file_with_the_table_counts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, "[tool.gradcheck]\nseed = 1\n")
    (folder / "inner" / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
    assert shown(capsys)["seed"] == ("1", "../pyproject.toml:2")
    (folder / "inner" / "pyproject.toml").write_text("[tool.gradcheck]\n", encoding="utf-8")
    assert shown(capsys)["seed"] == ("-", "default")


@pytest.mark.parametrize(("text", "said"), [
    ("sede = 1", "../pyproject.toml:2: there is no setting `sede`; did you mean `seed`?"),
    ("colour = 1", "../pyproject.toml:2: there is no setting `colour`; there are plugin, format, report, select"),
    ("show-settings = true", "there is no setting `show-settings`"),
    ("baseline-update = true", "there is no setting `baseline-update`; did you mean `baseline`?"),
    ("seed = 'x'", "../pyproject.toml:2: `seed`: the seed is 'x'; expected a whole number from 0, such as 7."),
    ("seed = true", "`seed`: the seed is 'True'; expected a whole number"),
    ("seed = [1]", "`seed` is [1]; expected a single value"),
    ("select = {}", "`select` is {}; expected a list of values"),
    ("select = ['GC1', 'GX']", "`select`: there is no code or name 'GX'"),
    ("only-failures = 1", "`only-failures` is 1; expected true or false"),
    ("format = 'xml'", "`format`: 'xml' is not one of "),
    ("report = 'nothing'", "`report`: 'nothing' is not FMT=PATH"),
    ("seed = ", "../pyproject.toml is no TOML: "),
])  # fmt: skip
def test_a_wrong_file_is_refused_with_the_line(
    text: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, f"[tool.gradcheck]\n{text}\n")
    assert main(["run", "relu.yaml"]) == 2
    assert said in capsys.readouterr().err
    assert main(["run", "--help"]) == 0


def test_the_table_must_be_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, "[tool]\ngradcheck = 3\n")
    assert main(["run", "relu.yaml"]) == 2
    assert "../pyproject.toml: tool.gradcheck is 3; expected the table [tool.gradcheck]" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "value", "said"), [
    ("GRADCHECK_SED", "1", "GRADCHECK_SED in the environment is no setting; did you mean GRADCHECK_SEED?"),
    ("GRADCHECK_SEED", "x", "GRADCHECK_SEED: the seed is 'x'; expected a whole number from 0, such as 7."),
    ("GRADCHECK_ONLY_FAILURES", "x", "GRADCHECK_ONLY_FAILURES is 'x'; expected 1 or 0"),
])  # fmt: skip
def test_a_wrong_variable_is_refused(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["run", "relu.yaml"]) == 2
    assert said in capsys.readouterr().err


def test_a_variable_of_somebody_else_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADCHECK_INSTALL_FOLDER", "1")
    monkeypatch.setenv("GRADCHECK_DEBUG", "")
    assert main(["run", "--show-settings"]) == 0
    assert "GRADCHECK_INSTALL_FOLDER in the environment is no setting of gradcheck" in capsys.readouterr().err


def test_lists_in_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"GRADCHECK_PLUGINS": os.pathsep.join(["a.py", "b.py"]), "GRADCHECK_ENTRY": "a[0, 1]"}
    found = settings(_run, Path.cwd(), names)
    assert found["plugins"].value == ["a.py", "b.py"]
    assert found["entries"].value == ["a[0, 1]"]
    assert "GRADCHECK_MAX_TIME" in [
        environment_name(o) for o in _run.params if hasattr(o, "multiple") and o.opts[0][0] == "-"
    ]


def test_paths_start_at_the_file(folder: Path) -> None:
    write(
        folder,
        '[tool.gradcheck]\nplugins = ["layers.py", "my.module"]\nreport = ["json=r.json"]\nbaseline = "b.json"\n',
    )
    found = settings(_run, Path.cwd(), {})
    assert found["plugins"].value == ["../layers.py", "my.module"]
    assert found["reports"].value == ["json=../r.json"]
    assert found["baseline"].value == "../b.json"


def test_completion_and_missing_specs_need_no_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run"]) == 2
    assert "Missing argument 'SPEC...'." in capsys.readouterr().err
    write(folder, "[tool.gradcheck]\nsede = 1\n")
    monkeypatch.setenv("_GRADCHECK_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "gradcheck run --base")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert main([]) == 0
    assert "plain,--baseline" in capsys.readouterr().out
    with pytest.raises(UsageError):
        settings(_run, Path.cwd(), {})
