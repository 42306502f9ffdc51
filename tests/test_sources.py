"""Where the code of a layer is written."""

from __future__ import annotations

from functools import wraps
from pathlib import Path

import pytest

from gradcheck.catalogue import Catalogue
from gradcheck.sources import raised_in, source_of

PLUGIN = """\
from functools import wraps
from gradcheck import Layer

def kept(method):
    @wraps(method)
    def wrapper(*arguments):
        return method(*arguments)
    return wrapper

class Twice(Layer):
    def forward(self, x):
        raise ValueError("no")

    @kept
    def backward(
        self, dy, cache
    ):
        return dy, {}
"""


@pytest.fixture
def twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers" / "twice.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return Catalogue(("layers/twice.py",)).find("layers", "twice")()


def test_the_line_of_the_method_is_found_behind_decorators(twice) -> None:
    source = source_of(twice)
    assert (source.path, source.line, source.column, source.end_line, source.end_column) == (
        "layers/twice.py", 15, 5, 15, 18,
    )  # fmt: skip
    assert source_of(twice, "forward").line == 11


def test_outside_the_folder_the_path_is_whole(twice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "layers")
    assert source_of(twice).path == "twice.py"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert source_of(twice).path == (tmp_path / "layers" / "twice.py").as_posix()


def test_the_line_that_raised(twice) -> None:
    try:
        twice.forward(1)
    except ValueError as error:
        caught = error
    caught.__traceback__ = caught.__traceback__.tb_next
    assert raised_in(caught).line == 12
    assert raised_in(None) is None


def test_what_has_no_source_has_no_place() -> None:
    scope: dict[str, object] = {}
    exec("class Typed:\n    def backward(self): pass", scope)
    assert source_of(scope["Typed"]()) is None
    assert source_of(object()) is None

    @wraps(len)
    def wrapped() -> None: ...

    assert source_of(type("Builtin", (), {"backward": wrapped})()) is None
