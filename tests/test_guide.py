"""Every command that the guide shows is run here, page by page, in a new folder with the files that the page shows.

Of what is printed a page may leave out parts (`...`). Numbers with fractions and places of entries depend on rounding,
and are not compared.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_within import OPTIONS

from gradcheck.cli import main

pytest_plugins = "pytester"
ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
_STEP = re.compile(
    r"<!-- file: (?P<path>\S+) -->\n```\w+\n(?P<text>.*?)^```$|^```console\n(?P<block>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_VARIES = (
    (re.compile(r"\w[\w.]*\[[\d, ]+\]"), "(entry)"),
    (re.compile(r"(?<![\w.])-?(\d+(\.\d+)?e[-+]\d+|\d+\.\d+)(?!\w)"), "(number)"),
    (re.compile(r"\s+"), " "),
)
Run = Callable[[str, int], tuple[str, int]]


def steady(text: str) -> str:
    """The words of a text, without what varies."""
    for pattern, instead in _VARIES:
        text = pattern.sub(instead, text)
    return text.strip()


@pytest.fixture
def run(pytester: pytest.Pytester, capfd: pytest.CaptureFixture[str]) -> Run:
    """A command, and the exit code of the one before -> what it prints, and its exit code."""

    def run_it(command: str, before: int) -> tuple[str, int]:
        program, *arguments = shlex.split(command)
        if command == "echo $?":
            return f"{before}\n", 0
        if program == "gradcheck":
            capfd.readouterr()
            code = main(arguments)
            return capfd.readouterr().out, code
        if arguments[:2] == ["-m", "pytest"]:
            result = pytester.runpytest_inprocess(*OPTIONS, *arguments[2:])
            return result.stdout.str(), int(result.ret)
        assert program == "sed", f"{command}: it takes more to run this"
        done = subprocess.run([program, *arguments], capture_output=True, encoding="utf-8", check=False)
        return done.stdout, done.returncode

    return run_it


def commands(block: str) -> list[tuple[str, list[str]]]:
    """What a block shows: commands, and of what each prints the parts that are shown."""
    found = []
    for chunk in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = chunk.partition("\n")
        found.append((command, [steady(part) for part in re.split(r"^\.\.\.$", shown, flags=re.MULTILINE)]))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_prints_what_the_page_shows(page: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    code = 0
    for step in _STEP.finditer(page.read_text(encoding="utf-8")):
        if step["path"]:
            Path(step["path"]).parent.mkdir(parents=True, exist_ok=True)
            Path(step["path"]).write_text(step["text"], encoding="utf-8")
            continue
        for command, parts in commands(step["block"]):
            printed, code = run(command, code)
            rest = steady(printed)
            assert rest.startswith(parts[0]), f"$ {command}\n{printed}"
            for part in filter(None, parts):
                assert part in rest, f"$ {command}\n{printed}"
                rest = rest.partition(part)[2]


def test_the_guide_is_whole() -> None:
    texts = {page.stem: page.read_text(encoding="utf-8") for page in PAGES}
    assert set(texts) == {"README", "first_check", "writing_a_layer", "reading_a_report", "gating_ci"}
    blocks = [step["block"] for text in texts.values() for step in _STEP.finditer(text) if step["block"]]
    assert sum(len(commands(block)) for block in blocks) > 25
    for name, text in texts.items():
        assert not re.search(r"^```(sh|bash|shell)$", text, re.MULTILINE), f"{name}: what is shown of a shell is run"
        for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", text):
            assert (ROOT / "docs" / target).exists(), f"{name} leads to {target}"
    template = (ROOT / "gradcheck" / "templates" / "gitlab.yml.tmpl").read_text(encoding="utf-8")
    assert template[template.index("gradcheck:\n") :] in texts["gating_ci"]
