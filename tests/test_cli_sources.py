"""What SPEC arguments mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradcheck._cli_sources import read, specs_of
from gradcheck.errors import NothingSelected, SpecError, UsageError


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("s/b.yaml", "s/a.yml", "s/.hidden.yaml", "s/data.npz", "s/deep/c.YAML", "s/empty/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / "s" / "folder.yaml").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        (["s/b.yaml"], ["s/b.yaml"]),
        (["s/data.npz"], ["s/data.npz"]),  # a file that is named is read, whatever its suffix
        (["s"], ["s/a.yml", "s/b.yaml"]),
        (["s/"], ["s/a.yml", "s/b.yaml"]),
        (["s/deep", "s"], ["s/deep/c.YAML", "s/a.yml", "s/b.yaml"]),
        (["s/b.yaml", "s", "s/b.yaml"], ["s/b.yaml", "s/a.yml"]),
        (["s/*.yaml"], ["s/b.yaml"]),
        (["s/*"], ["s/a.yml", "s/b.yaml"]),
        (["s/**"], ["s/a.yml", "s/b.yaml", "s/deep/c.YAML"]),
        (["**/*.y*ml"], ["s/a.yml", "s/b.yaml"]),
        (["-", "s/b.yaml", "-"], ["-", "s/b.yaml"]),
    ],
)
def test_arguments_mean_specs(arguments: list[str], paths: list[str]) -> None:
    assert specs_of(arguments) == paths


def test_an_absolute_pattern(tree: Path) -> None:
    assert specs_of([f"{tree}/s/*.yaml"]) == [f"{tree}/s/b.yaml"]


def test_a_file_with_the_characters_of_a_pattern_is_a_file(tree: Path) -> None:
    (tree / "a[b].yaml").write_text("x", encoding="utf-8")
    assert specs_of(["a[b].yaml"]) == ["a[b].yaml"]


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("s/empty", "the folder s/empty holds no spec"),
        ("s/*.json", "the pattern s/*.json matches no spec"),
        ("s/folder.yaml", "the folder s/folder.yaml holds no spec"),
    ],
)
def test_an_argument_that_selects_nothing_is_said(argument: str, sentence: str) -> None:
    with pytest.raises(NothingSelected, match="nothing was selected") as caught:
        specs_of(["s/b.yaml", argument])
    assert sentence in str(caught.value)


def test_a_missing_file_names_the_one_that_was_meant() -> None:
    with pytest.raises(UsageError, match=r"there is no file or folder s/c\.yaml; did you mean s/[ab]\.ya?ml\?"):
        specs_of(["s/c.yaml"])
    with pytest.raises(UsageError, match=r"there is no file or folder nowhere/c\.yaml$"):
        specs_of(["nowhere/c.yaml"])


def test_bytes_that_are_no_text_are_placed(tree: Path) -> None:
    (tree / "bad.yaml").write_bytes(b"name: x\ndata: \xff\n")
    with pytest.raises(SpecError) as caught:
        read("bad.yaml")
    assert str(caught.value) == "bad.yaml:2:7: byte 0xff is not UTF-8; a spec is YAML text, saved as UTF-8"


def test_a_huge_file_is_not_even_read(tree: Path) -> None:
    with (tree / "huge.yaml").open("wb") as stream:
        stream.truncate(5_000_000)
    with pytest.raises(SpecError, match="the file has 5,000,000 bytes, too many for a spec"):
        read("huge.yaml")


def test_a_file_that_cannot_be_read(tree: Path) -> None:
    with pytest.raises(UsageError, match=r"s/deep cannot be read: Is a directory"):
        read("s/deep")
