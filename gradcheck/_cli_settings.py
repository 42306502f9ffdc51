"""Options that are not on the command line: `GRADCHECK_*` in the environment, then `[tool.gradcheck]`.

The nearest pyproject.toml with such a table counts, from the current folder upwards. Its keys are the options of
`gradcheck run` without their dashes; paths in it start at its folder. What it says of plugins and the seed holds for
every command that takes them.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from gradcheck._cli_streams import say
from gradcheck.errors import UsageError

FILE, TABLE, PREFIX = "pyproject.toml", "gradcheck", "GRADCHECK_"
#: Variables that are no options.
_OTHERS = ("GRADCHECK_DEBUG",)
#: Options that say which run this is, and so belong on its command line.
_NOT_SETTABLE = ("help", "show_settings", "baseline_update", "baseline_prune")
#: What other commands take from the settings of `run`.
SHARED = ("plugins", "seed")
_PATHS = ("plugins", "reports", "dump", "baseline")
_TRUTH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class Setting(Struct, frozen=True):
    """What an option is set to, as click takes it, and where: `GRADCHECK_SEED`, `pyproject.toml:12`."""

    value: Any
    source: str


def settings(run: click.Command, folder: Path, environment: Mapping[str, str]) -> dict[str, Setting]:
    """By parameter of `run`, what is set outside the command line. UsageError says which is wrong, and where."""
    options = {o.name: o for o in run.params if isinstance(o, click.Option) and o.name not in _NOT_SETTABLE}
    found: dict[str, Setting] = {}
    for path in _files(folder):
        found |= _of_file(path, options)
        break
    return found | _of_environment(environment, options)


def environment_name(option: click.Option) -> str:
    """`GRADCHECK_FAIL_ON`."""
    return PREFIX + _key(option).replace("-", "_").upper()


def shown(command: click.Command, context: click.Context, found: Mapping[str, Setting]) -> Iterator[str]:
    """Every setting, its value, and where that comes from: a line each."""
    rows = []
    for option in command.params:
        if not isinstance(option, click.Option) or option.name in _NOT_SETTABLE or option.name is None:
            continue
        source = "default"
        if context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE:
            source = "command line"
        elif option.name in found:
            source = found[option.name].source
        rows.append((_key(option), _written(context.params[option.name]), source))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for key, value, source in rows:
        yield f"{key:{widths[0]}}  {value:{widths[1]}}  {source}"


def _key(option: click.Option) -> str:
    """`fail-on` of --fail-on."""
    return max(option.opts, key=len).lstrip("-")


def _written(value: Any) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(_of_list(item) for item in value)
    return str(value)


def _of_list(item: Any) -> str:
    if isinstance(item, tuple):
        return ("=" if isinstance(item[-1], Path) else ",").join(map(str, item))
    return str(item)


# Files ----------------------------------------------------------------------------------------------------------------


def _files(folder: Path) -> Iterator[Path]:
    for above in (folder, *folder.parents):
        path = above / FILE
        if path.is_file() and _table(path) is not None:
            yield path


def _table(path: Path) -> Any:
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{_shown(path)} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{_shown(path)} is no TOML: {error}") from None
    return document.get("tool", {}).get(TABLE)


def _of_file(path: Path, options: Mapping[str, click.Option]) -> dict[str, Setting]:
    table = _table(path)
    if not isinstance(table, dict):
        raise UsageError(f"{_shown(path)}: tool.{TABLE} is {table!r}; expected the table [tool.{TABLE}]")
    found = {}
    for key, value in table.items():
        where = f"{_shown(path)}:{_line(path, key)}"
        option = _named(key, options)
        if option is None:
            raise UsageError(f"{where}: there is no setting `{key}`{_hint(key, map(_key, options.values()))}")
        assert option.name is not None
        found[option.name] = Setting(_checked(option, _of_toml(option, value, where, path.parent), where, key), where)
    return found


def _line(path: Path, key: str) -> int:
    """Where a key of the table is written, as well as that can be said without a parser that knows lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next((n for n, line in enumerate(lines) if re.match(rf"\s*\[\s*tool\s*\.\s*{TABLE}\s*\]", line)), 0)
    pattern = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
    return next((n for n, line in enumerate(lines[start:], start + 1) if pattern.match(line)), start + 1)


def _of_toml(option: click.Option, value: Any, where: str, folder: Path) -> Any:
    if option.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{where}: `{_key(option)}` is {value!r}; expected true or false")
        return value
    several = value if isinstance(value, list) else [value]
    if (isinstance(value, list) and not option.multiple) or not all(isinstance(v, str | int | float) for v in several):
        expected = "a list of values" if option.multiple else "a single value"
        raise UsageError(f"{where}: `{_key(option)}` is {value!r}; expected {expected}")
    texts = [_placed(option, str(item), folder) for item in several]
    return texts if option.multiple else texts[0]


def _placed(option: click.Option, text: str, folder: Path) -> str:
    """A path that starts at the folder of the file which has it."""
    if option.name not in _PATHS or (option.name == "plugins" and not text.endswith(".py")):
        return text
    if option.name != "reports":
        return _near(folder / text)
    fmt, separator, path = text.partition("=")
    return f"{fmt}={_near(folder / path)}" if separator and path else text


def _near(path: Path) -> str:
    return os.path.relpath(path).replace(os.sep, "/") if not _elsewhere(path) else str(path)


def _elsewhere(path: Path) -> bool:
    """Whether no relative path leads there: another drive."""
    return path.drive != Path.cwd().drive and bool(path.drive)


def _shown(path: Path) -> str:
    return _near(path)


# The environment ------------------------------------------------------------------------------------------------------


def _of_environment(environment: Mapping[str, str], options: Mapping[str, click.Option]) -> dict[str, Setting]:
    found = {}
    names = {environment_name(option): option for option in options.values()}
    for name, text in sorted(environment.items()):
        if not name.startswith(PREFIX) or name in _OTHERS or not text:
            continue
        option = names.get(name) or _named(name.removeprefix(PREFIX).lower(), options)
        if option is None:
            _refuse_slip(name, [*names, *_OTHERS])
            continue
        assert option.name is not None
        found[option.name] = Setting(_checked(option, _of_text(option, text, name), name, name), name)
    return found


def _refuse_slip(name: str, known: Sequence[str]) -> None:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    if close:
        raise UsageError(f"{name} in the environment is no setting; did you mean {close[0]}?")
    say(f"gradcheck: {name} in the environment is no setting of gradcheck; it is left alone")


def _of_text(option: click.Option, text: str, name: str) -> Any:
    if option.is_flag:
        if text.lower() not in _TRUTH:
            raise UsageError(f"{name} is {text!r}; expected 1 or 0")
        return _TRUTH[text.lower()]
    return text.split(os.pathsep) if option.multiple else text


# Both -----------------------------------------------------------------------------------------------------------------


def _named(key: str, options: Mapping[str, click.Option]) -> click.Option | None:
    """The option `fail-on`, `fail_on`; `plugin` and `plugins` are the same."""
    written = key.replace("_", "-")
    return next((o for o in options.values() if written in (_key(o), (o.name or "").replace("_", "-"))), None)


def _checked(option: click.Option, value: Any, where: str, key: str) -> Any:
    """The value, if the option would take it on the command line."""
    if option.is_flag:
        return value
    for item in value if option.multiple else [value]:
        try:
            option.type.convert(item, option, None)
        except click.BadParameter as error:
            raise UsageError(
                f"{where}: {error.message}" if where == key else f"{where}: `{key}`: {error.message}"
            ) from None
    return value


def _hint(key: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(key.replace("_", "-"), names, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; there are {', '.join(names)}"
