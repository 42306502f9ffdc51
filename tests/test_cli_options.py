"""Options: every wrong value is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradcheck._cli_options import METHODS, entry, executor, formats, jobs
from gradcheck.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("tiny.yaml", "bad.yaml"):
        (tmp_path / name).write_text("network: []", encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "tiny.yaml", "--step", "0"], "the step is '0'; expected a finite number greater than 0"),
        (["run", "tiny.yaml", "--step", "-1e-3"], "the step is '-1e-3'"),
        (["run", "tiny.yaml", "--step", "nan"], "the step is 'nan'"),
        (["run", "tiny.yaml", "--step", "1e-999"], "the step is '1e-999'"),
        (["run", "tiny.yaml", "--rtol", "-1"], "rtol is '-1'; expected a finite number, 0 or greater"),
        (["run", "tiny.yaml", "--rtol", "inf"], "rtol is 'inf'"),
        (["run", "tiny.yaml", "--rtol", "x"], "rtol is 'x'"),
        (["run", "tiny.yaml", "--seed", "-3"], "the seed is '-3'; expected a whole number from 0"),
        (["run", "tiny.yaml", "--seed", "1.5"], "the seed is '1.5'"),
        (["run", "tiny.yaml", "--method", "magic"], "'magic' is not one of 'auto', 'complex', 'central'"),
        (["run", "tiny.yaml", "--entry", "weight"], "'weight' is no entry; write it like 'head.weight[3, 5]'"),
        (["run", "tiny.yaml", "--entry", "w[1,-2]"], "'w[1,-2]' is no entry"),
        (["run", "tiny.yaml", "--entry", "w[1,,2]"], "'w[1,,2]' is no entry"),
        (["run", "tiny.yaml", "--select", "GC1,nope"], "there is no code or name 'nope'"),
        (["run", "tiny.yaml", "--ignore", "vacous"], "did you mean vacuous?"),
        (["run", "tiny.yaml", "--format", "yaml"], "'yaml' is not one of 'concise', 'full', 'github', 'gitlab'"),
        (["run", "tiny.yaml", "--report", "r.json"], "'r.json' is not FMT=PATH, such as json=report.json"),
        (["run", "tiny.yaml", "--report", "xml=r"], "'xml=r' is not FMT=PATH"),
        (["run", "tiny.yaml", "--report", "json=gone/r"], "gone/r cannot be written: there is no folder gone"),
        (["run", "tiny.yaml", "--report", "json=empty"], "empty is a folder; name a file in it"),
        (["run", "tiny.yaml", "--report", "json=./tiny.yaml"], "tiny.yaml would overwrite the spec"),
        (["run", "tiny.yaml", "--report", "json=a", "--dump", "./a"], "a would overwrite the output"),
        (["run", "tiny.yaml", "bad.yaml", "--dump", "a.npz"], "--dump takes one spec"),
        (["run", "tinny.yaml"], "there is no file or folder tinny.yaml; did you mean tiny.yaml?"),
        (["run", "tiny.yaml", "-j", "0"], "the number of workers is '0'; expected a whole number from 1, or auto"),
        (["run", "tiny.yaml", "--jobs", "many"], "the number of workers is 'many'"),
        (["run", "tiny.yaml", "-j", "-2"], "the number of workers is '-2'"),
        (["run", "tiny.yaml", "--max-time", "0"], "the time is '0'; expected a finite number greater than 0"),
        (["run", "tiny.yaml", "--max-memory", "0"], "the memory is '0'; expected a finite number greater than 0"),
        (["run", "tiny.yaml", "--executor", "localhost:1"], "'localhost:1' is no scheduler; write it like dask://"),
        (["run", "tiny.yaml", "--executor", "dask://host"], "'dask://host' is no scheduler"),
        (["run", "tiny.yaml", "--executor", "dask://host:0"], "'dask://host:0' is no scheduler"),
        (["run", "tiny.yaml", "--fromat", "json"], "--format"),
        (["rum", "tiny.yaml"], "There is no command 'rum'; did you mean 'run'?"),
        (["explain", "GC1"], "GC1 is the beginning of several codes; explain takes one of GC100"),
        (["explain", "GC777"], "there is no code or name 'GC777'"),
        (["run"], "Missing argument 'SPEC...'"),
    ],
)  # fmt: skip
def test_usage_errors(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert sentence in err
    assert out == ""


def test_an_entry_may_be_written_in_several_ways() -> None:
    written = ("head.weight[3,5]", "head.weight[ 3, 5 ]", "head.weight[3,5,]", "scale[]", "a[0].w[1]")
    assert [entry(f" {text} ") for text in written] == list(written)


def test_methods_are_those_of_the_numeric_side() -> None:
    from gradcheck.gradients.numeric.schemes import SCHEMES

    assert set(METHODS) == {"auto", *SCHEMES}


def test_formats_are_found_in_their_folder() -> None:
    names = ("concise", "full", "github", "gitlab", "json", "junit", "markdown", "sarif")
    stems = {"json": "json_"}
    assert formats() == {name: f"gradcheck.report.{stems.get(name, name)}" for name in names}


def test_workers() -> None:
    assert [jobs("1"), jobs("12")] == [1, 12]
    assert jobs("auto") >= 1
    addresses = ["dask://localhost:8786", "dask://10.0.0.7:1", "dask://[::1]:8786"]
    assert [executor(address) for address in addresses] == addresses
