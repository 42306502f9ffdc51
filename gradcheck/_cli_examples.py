"""An example for a code: one of the planted mistakes in specs/wrong, beside the sources or where they are installed."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

_FOLDERS = (
    Path(__file__).parent.parent / "specs" / "wrong",
    Path(sysconfig.get_path("data")) / "share" / "gradcheck" / "wrong",
)


def example(code: str) -> str:
    """What the mistake is, the wrong line and the right one, and the command that shows it; empty where there is none.

    The head of a spec says which code it gets (`# expect: code GC201`); a code that ends in 00 stands for its hundred.
    """
    wanted = {code, code.removesuffix("00")} if code.endswith("00") else {code}
    for folder in _FOLDERS:
        for spec in sorted(folder.glob("*.yaml")):
            head = re.match(r"(#.*\n)+", spec.read_text(encoding="utf-8"))
            expected = re.search(r"^# expect: code (\S+)", head[0], re.MULTILINE) if head else None
            if head and expected and expected[1] in wanted:
                return _shown(spec, head[0].splitlines()[0].removeprefix("#").strip())
    return ""


def _shown(spec: Path, title: str) -> str:
    plugin = spec.with_suffix(".py")
    text = plugin.read_text(encoding="utf-8") if plugin.exists() else ""
    lines = re.findall(r"^(?:wrong|right) .*$", text, re.MULTILINE)
    here = Path.cwd()
    shown = spec.relative_to(here) if spec.is_relative_to(here) else spec
    loaded = f" --plugin {shown.with_suffix('.py').as_posix()}" if text else ""
    command = f"gradcheck run {shown.as_posix()}{loaded}"
    return "\n".join(f"    {line}" for line in (title, *lines, command))
