"""Refresh what the README shows of the program: files, outputs, tables, and the picture of a report.

    python scripts/readme_picture.py

A block after `<!-- file: PATH -->` is that file. A `console` block is a command after `$ `, and what it prints. What
stands between `<!-- table: layers -->` and `<!-- end -->` is printed from the docstrings. docs/report.svg is the first
command's output as a terminal shows it. tests/test_readme.py holds all of it to what the code says now.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from gradcheck import __version__, _cli_texts
from gradcheck.catalogue import Catalogue
from gradcheck.findings import Report
from gradcheck.pipeline import run_spec
from gradcheck.report import full

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "report.svg"
_FILE = re.compile(r"(<!-- file: (?P<path>\S+) -->\n```\w+\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"(^```console\n\$ (?P<command>[^\n]+)\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
_TABLE = re.compile(r"(<!-- table: (?P<folder>\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


def refreshed(readme: str) -> str:
    """The README with everything that it shows as it is now."""
    readme = _FILE.sub(lambda found: found[1] + (ROOT / found["path"]).read_text(encoding="utf-8"), readme)
    readme = _COMMAND.sub(lambda found: found[1] + output(found["command"]), readme)
    return _TABLE.sub(lambda found: found[1] + table(found["folder"]), readme)


def output(command: str) -> str:
    """What a command prints in a shell in the project's folder, in a pipe 80 columns wide."""
    names = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "GRADCHECK_DEBUG")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env={**environment, "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        check=False,
    )
    return done.stdout


def table(folder: str) -> str:
    """The layers or losses as a table."""
    rows = [("name", "what it is", "formula", "options"), ("---",) * 4]
    for unit in _cli_texts.units(Catalogue(), folder):
        options = ", ".join(f"`{option}`" for option in unit.options)
        rows.append((f"`{unit.name}`", unit.summary, f"`{unit.formula}`", options))
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    return "".join(f"| {' | '.join(row)} |\n" for row in escaped)


def picture(command: str) -> str:
    """The report that `gradcheck run SPEC` prints, as an SVG without remote fonts."""
    spec = shlex.split(command)[-1]
    text = (ROOT / spec).read_text(encoding="utf-8")
    here = Path.cwd()
    os.chdir(ROOT)
    try:
        report = run_spec(spec, text, Catalogue()).report
    finally:
        os.chdir(here)
    # 100 columns: the last line, a command, is not wrapped.
    console = Console(
        file=io.StringIO(), record=True, width=100, force_terminal=True, color_system="truecolor", highlight=False
    )
    full.show(Report(__version__, (report,)), console)
    svg = console.export_svg(title=command, unique_id="gradcheck")
    without_fonts = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return re.sub(r"[ \t]+$", "", without_fonts, flags=re.MULTILINE)


def main() -> None:
    """Write the README and the picture."""
    readme = refreshed(README.read_text(encoding="utf-8"))
    README.write_text(readme, encoding="utf-8", newline="\n")
    first = _COMMAND.search(readme)
    assert first is not None, "the README shows no command"
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(first["command"]), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
