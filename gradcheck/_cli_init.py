"""`gradcheck init`: a layer, its spec and its test to begin with, and what CI needs. Nothing is ever overwritten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gradcheck.errors import UsageError

PLUGIN, SPEC, TEST, GITLAB = (
    "my_layers.py",
    "scaled_tanh.gradcheck.yaml",
    "test_my_layers.py",
    "gradcheck.gitlab-ci.yml",
)
_TEMPLATES = Path(__file__).parent / "templates"
#: What is always written, by its place: the template.
_PROJECT = {
    PLUGIN: "layers.py",
    SPEC: "spec.yaml",
    TEST: "test_layers.py",
    "pyproject.toml": "pyproject.toml",
}
#: What a CI system needs, by its name: the place and the template.
CI = {
    "github": (".github/workflows/gradcheck.yml", "github.yml"),
    "gitlab": (GITLAB, "gitlab.yml"),
    "pre-commit": (".pre-commit-config.yaml", "pre-commit.yaml"),
}


def init(folder: Path, systems: Sequence[str]) -> Iterator[str]:
    """Write what is not there yet -> a line about each file, and what to do next. UsageError where nothing can be."""
    wanted = _PROJECT | dict(CI[system] for system in systems)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; init takes a folder, which may be new")
    for place, template in wanted.items():
        path = folder / place
        if path.exists():
            yield f"kept   {path}: it is there already{_advice(path)}"
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as stream:
                stream.write(text(template))
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from None
        yield f"wrote  {path}"
    yield ""
    yield f"Next:  {f'cd {folder} && ' if folder != Path() else ''}gradcheck run {SPEC}"


def text(template: str) -> str:
    """A template with the names of the files in it."""
    found = (_TEMPLATES / f"{template}.tmpl").read_text(encoding="utf-8")
    if template in ("github.yml", "pre-commit.yaml", "layers.py"):
        return found
    return found.format(plugin=PLUGIN, module=Path(PLUGIN).stem, spec=SPEC, gitlab=GITLAB)


def _advice(path: Path) -> str:
    """What to add by hand to a file that is the user's."""
    lacks = path.name == "pyproject.toml" and "[tool.gradcheck]" not in path.read_text(encoding="utf-8")
    return f'; add [tool.gradcheck] with plugins = ["{PLUGIN}"]' if lacks else ""
