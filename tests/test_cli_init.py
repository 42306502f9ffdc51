"""`gradcheck init`, `completion` and the examples of `explain`; and what CI systems read at the root of the project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gradcheck import _cli_examples
from gradcheck.cli import main

ROOT = Path(__file__).parent.parent


def yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A new project with everything."""
    monkeypatch.chdir(tmp_path)
    assert main(["init", "new"]) == 0
    assert capsys.readouterr().out.endswith("\nNext:  cd new && gradcheck run scaled_tanh.gradcheck.yaml\n")
    monkeypatch.chdir("new")
    return tmp_path / "new"


def test_what_is_written_runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["validate", "scaled_tanh.gradcheck.yaml"]) == 0
    assert main(["run", "scaled_tanh.gradcheck.yaml"]) == 0
    monkeypatch.syspath_prepend(project)
    spec = spec_from_file_location("test_my_layers", "test_my_layers.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.test_scaled_tanh()
    module.test_its_gain_is_a_factor()
    sys.modules.pop("my_layers")
    wrong = Path("my_layers.py").read_text(encoding="utf-8").replace("(1 - t**2)", "(1 + t**2)")
    Path("my_layers.py").write_text(wrong, encoding="utf-8")
    assert main(["run", "scaled_tanh.gradcheck.yaml"]) == 1


def test_nothing_is_overwritten(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("my_layers.py").write_text("mine", encoding="utf-8")
    Path("pyproject.toml").write_text("[project]\n", encoding="utf-8")
    Path("test_my_layers.py").unlink()
    assert main(["init", "--ci", "github"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "kept   my_layers.py: it is there already" in said
    assert 'kept   pyproject.toml: it is there already; add [tool.gradcheck] with plugins = ["my_layers.py"]' in said
    assert "wrote  test_my_layers.py" in said
    assert "kept   .github/workflows/gradcheck.yml: it is there already" in said
    assert not [line for line in said if "gitlab" in line or "pre-commit" in line]
    assert Path("my_layers.py").read_text(encoding="utf-8") == "mine"


def test_ci_files_are_chosen(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path), "--ci", "none"]) == 0
    assert not any(path.name.startswith(".") or "gitlab" in path.name for path in tmp_path.iterdir())


def test_a_file_is_no_folder(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "my_layers.py"]) == 2
    assert "my_layers.py is a file; init takes a folder, which may be new" in capsys.readouterr().err


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<!\w)--[a-z-]+", text))


def test_what_ci_systems_get_is_valid_and_knows_the_options(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--help"])
    known = options_in(capsys.readouterr().out)
    workflow = yaml(Path(".github/workflows/gradcheck.yml"))
    commands = [step["run"] for step in workflow["jobs"]["gradcheck"]["steps"] if "run" in step]
    gitlab = yaml(Path("gradcheck.gitlab-ci.yml"))["gradcheck"]
    hooks = yaml(Path(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    for text in (*commands, *gitlab["script"], *(hook["entry"] for hook in hooks)):
        assert options_in(text) <= known
    reports = gitlab["artifacts"]["reports"]
    assert f"--report gitlab={reports['codequality']} --report junit={reports['junit']}" in gitlab["script"][1]
    assert workflow["jobs"]["gradcheck"]["steps"][-1]["with"]["sarif_file"] in commands[-1]


def test_hooks_of_the_project() -> None:
    validate, run = yaml(ROOT / ".pre-commit-hooks.yaml")
    assert (validate["id"], validate["entry"], validate["language"]) == (
        "gradcheck-validate", "gradcheck validate", "python",
    )  # fmt: skip
    assert (run["id"], run["language"], run["pass_filenames"]) == ("gradcheck", "system", False)
    assert re.search(validate["files"], "a/net.gradcheck.yaml")
    assert not re.search(validate["files"], ".pre-commit-config.yaml")


def test_the_action_pastes_nothing_into_its_scripts(tmp_path: Path) -> None:
    action = yaml(ROOT / "action.yml")
    steps = action["runs"]["steps"]
    assert action["runs"]["using"] == "composite"
    for step in steps:
        assert "${{" not in step["run"]
        assert set(step["env"].values()) <= {f"${{{{ inputs.{name} }}}}" for name in action["inputs"]}
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$OUT"\nexit 1\n', encoding="utf-8")
    fake.chmod(0o755)
    given = {
        "INPUT_SPECS": "$(touch hacked)\n'; touch hacked; '", "INPUT_PLUGINS": "a b.py\n\nc.py", "INPUT_JUNIT": "j.xml",
        "INPUT_ARGUMENTS": "--seed\n3", "INPUT_SARIF": "", "INPUT_SUMMARY": "true",
    }  # fmt: skip
    files = {name: str(tmp_path / name) for name in ("OUT", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    environment = {**os.environ, **given, **files, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", steps[1]["run"]], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 1
    assert (tmp_path / "GITHUB_OUTPUT").read_text() == "exit-code=1\n"
    assert (tmp_path / "OUT").read_text().splitlines() == [
        "-m", "gradcheck", "run", "--format", "github", "--report", "junit=j.xml", "--report",
        f"markdown={files['GITHUB_STEP_SUMMARY']}", "--plugin", "a b.py", "--plugin", "c.py", "--seed", "3", "--",
        "$(touch hacked)", "'; touch hacked; '",
    ]  # fmt: skip
    assert not (tmp_path / "hacked").exists()


def test_completion(capsys: pytest.CaptureFixture[str]) -> None:
    for shell, word in (("bash", "complete -o nosort"), ("zsh", "#compdef gradcheck"), ("fish", "function ")):
        assert main(["completion", shell]) == 0
        text = capsys.readouterr().out
        assert word in text
        assert "_GRADCHECK_COMPLETE" in text


@pytest.mark.parametrize(("words", "completed"), [
    ("gradcheck ex", "plain,explain"), ("gradcheck explain GC50", "plain,GC501"),
    ("gradcheck explain dropped", "plain,dropped-gradient"), ("gradcheck run --only", "plain,--only-failures"),
    ("gradcheck run --format sa", "plain,sarif"), ("gradcheck run specs/n", "file,specs/n"),
])  # fmt: skip
def test_words_are_completed(
    words: str, completed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_GRADCHECK_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert main([]) == 0
    assert completed in capsys.readouterr().out.splitlines()


def test_explain_says_how_to_silence_and_shows_an_example(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["explain", "GC501"]) == 0
    text = capsys.readouterr().out
    assert 'ignore: [{code: GC501, at: LAYER, reason: "..."}]' in text
    assert "--baseline FILE.json --baseline-update" in text
    command = re.search(r"gradcheck run (specs/wrong/\S+\.yaml) --plugin (specs/wrong/\S+\.py)$", text, re.MULTILINE)
    assert command is not None
    assert all((ROOT / path).is_file() for path in command.groups())
    assert re.search(r"^    wrong   .*\n    right   ", text, re.MULTILINE)
    monkeypatch.setattr(_cli_examples, "_FOLDERS", (tmp_path,))
    assert main(["explain", "GC501"]) == 0
    assert "Example" not in capsys.readouterr().out
