"""Name -> class: built-in layers and losses, and those of plugins, through one door.

Built-ins are found by walking their folder and imported when they are asked for. A plugin offers the classes that are
defined in it, without a leading underscore; one that cannot keep the contract is refused with file and reason.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn

from gradcheck.errors import PluginError
from gradcheck.layers._base import Layer
from gradcheck.losses._base import Loss
from gradcheck.naming import spec_name

Unit = type[Layer] | type[Loss]
Refuse = Callable[[str], NoReturn]
_PACKAGE = Path(__file__).parent
_FOLDERS: dict[str, type] = {"layers": Layer, "losses": Loss}
#: What an item of a spec is called that is no layer, but a use of a module.
_USE = "module"
_NOUNS = {"layers": "layer", "losses": "loss"}

#: What the spec says about every layer and loss, so that no option of one may be called so.
_RESERVED = {"layers": ("name", "inputs"), "losses": ("reduction", "weight", "inputs", "target")}
#: Method -> how many arguments it is called with after self, and the signature to show.
_METHODS = {
    "layers": {
        "forward": (1, "forward(self, x, ...)"),
        "backward": (2, "backward(self, dy, cache)"),
        "init": (2, "init(self, rng, x_shape)"),
        "constants": (2, "constants(self, rng, *x_shapes)"),
    },
    "losses": {
        "forward": (1, "forward(self, prediction, ...)"),
        "backward": (2, "backward(self, upstream, cache)"),
    },
}
#: What `divisor` is offered beside what forward takes.
_OF_DIVISOR = ("reduction", "losses_shape")
#: Those of them that take more: one more for each further input, and parameters and data by name.
_OPEN_ENDED = ("forward", "init", "constants")


class Catalogue:
    """The layers and losses that a spec may name."""

    def __init__(self, plugins: tuple[str, ...] = ()) -> None:
        self._plugins: dict[str, dict[str, Unit]] = {folder: {} for folder in _FOLDERS}
        self._loaded: set[str] = set()
        self.sources = plugins
        for plugin in plugins:
            self.load(plugin)

    def names(self, folder: str) -> list[str]:
        """The names of all `layers` or `losses`, sorted."""
        return sorted({*_builtin_names(folder), *self._plugins[folder]})

    def find(self, folder: str, name: str) -> Unit | None:
        """The class of that name among the `layers` or `losses`; None if there is none."""
        if name in self._plugins[folder]:
            return self._plugins[folder][name]
        if name in _builtin_names(folder):
            return _builtin(folder, name)
        return None

    def is_builtin(self, kind: Unit) -> bool:
        """Whether the class ships with gradcheck: what it does wrong is a bug of ours."""
        return kind.__module__.startswith(f"{__package__}.")

    def load(self, plugin: str) -> None:
        """Load a plugin, given as FILE.py or as the dotted name of a module. PluginError says why it cannot be."""
        module = _import(plugin)
        if module.__name__ in self._loaded:
            return
        self._loaded.add(module.__name__)
        offered = _offered(module)
        if not offered:
            raise PluginError(
                f"plugin {plugin}: it defines no class that extends gradcheck.Layer or gradcheck.Loss; "
                "add one, without a leading underscore in its name"
            )
        for kind, folder in offered.items():
            require_contract(f"plugin {plugin}", kind)
            self._offer(plugin, folder, kind)

    def _offer(self, plugin: str, folder: str, kind: Unit) -> None:
        name = spec_name(kind)
        if name == _USE and folder == "layers":
            raise PluginError(
                f"plugin {plugin}: class {kind.__name__} would be called `{_USE}`, which in a spec uses one of its "
                "`modules`; rename it or give it a class attribute `spec_name`"
            )
        if name in self.names(folder):
            owner = self._plugins[folder].get(name)
            whose = f"{owner.__name__} of the plugin {inspect.getfile(owner)}" if owner else "that ships with gradcheck"
            raise PluginError(
                f"plugin {plugin}: class {kind.__name__} would be called `{name}`, the name of the {_NOUNS[folder]} "
                f"{whose}; rename it or give it a class attribute `spec_name`"
            )
        self._plugins[folder][name] = kind


@cache
def _builtin_names(folder: str) -> frozenset[str]:
    return frozenset(path.stem for path in (_PACKAGE / folder).glob("*.py") if not path.stem.startswith("_"))


@cache
def _builtin(folder: str, name: str) -> Unit:
    module = importlib.import_module(f"{__package__}.{folder}.{name}")
    for kind, home in _offered(module).items():
        if home == folder and spec_name(kind) == name:
            return kind
    raise AssertionError(f"{module.__file__} defines no class that is called `{name}` in a spec")


def _offered(module: ModuleType) -> dict[Unit, str]:
    """The layers and losses that are defined in the module, each once, and their folders."""
    own: list[Any] = [
        kind
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == module.__name__ and not kind.__name__.startswith("_")
    ]
    return {kind: folder for kind in own for folder, base in _FOLDERS.items() if base in kind.__mro__}


# Importing ------------------------------------------------------------------------------------------------------------


class _SourceLoader(SourceFileLoader):
    """Runs what the file says now: bytecode counts as fresh for a second after an edit of equal length."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _import(plugin: str) -> ModuleType:
    path = Path(plugin)
    is_file = path.suffix == ".py"
    if is_file and not path.is_file():
        raise PluginError(f"plugin {plugin}: there is no such file")
    try:
        return _import_file(path.resolve()) if is_file else importlib.import_module(plugin)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        where = _line_of(error, path) if is_file else ""
        hint = "" if is_file else "; a plugin is FILE.py or the dotted name of a module"
        reason = f"importing it raised {type(error).__name__}{where}: {error}{hint}"
        raise PluginError(f"plugin {plugin}: {reason}") from error


def _import_file(path: Path) -> ModuleType:
    digest = hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:16]
    name = f"gradcheck_plugin_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    loader = _SourceLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _line_of(error: BaseException, path: Path) -> str:
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path.resolve())]
    return f" in line {lines[-1]}" if lines else ""


# The contract ---------------------------------------------------------------------------------------------------------


def require_contract(where: str, kind: Any) -> None:
    """Refuse a class that cannot keep the contract, with the reason; `where` is what the sentence begins with."""
    folder = next(folder for folder, base in _FOLDERS.items() if base in kind.__mro__)

    def refuse(reason: str) -> NoReturn:
        raise PluginError(f"{where}: class {kind.__name__} {reason}")

    missing = " and ".join(f"no method `{method}`" for method in sorted(kind.__abstractmethods__, reverse=True))
    if missing:
        refuse(f"has {missing}; a {_NOUNS[folder]} needs forward and backward")
    _require_names(kind, folder, refuse)
    _require_frozen(kind, refuse)
    _require_options(kind, folder, refuse)
    _require_signatures(kind, folder, refuse)
    if folder == "losses":
        _require_reductions(kind, refuse)


def _require_names(kind: Any, folder: str, refuse: Refuse) -> None:
    own = vars(kind).get("spec_name", "a_name")
    if not (isinstance(own, str) and own.isidentifier()):
        refuse(f"has spec_name = {own!r}; expected a name of letters, digits and underscores, such as 'scaled_tanh'")
    attribute = {"layers": "per_sample", "losses": "reductions"}[folder]
    names = getattr(kind, attribute)
    if not (isinstance(names, tuple) and all(isinstance(name, str) for name in names)):
        example = {"layers": "('mask',)", "losses": "('sum', 'mean')"}[folder]
        refuse(f"has {attribute} = {names!r}; expected a tuple of names, such as {example}")


def _require_frozen(kind: Any, refuse: Refuse) -> None:
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters and not parameters.frozen:
        refuse("is a dataclass that is not frozen; write @dataclass(frozen=True), because a layer keeps no state")
    if "__dataclass_params__" not in vars(kind):
        hints = inspect.get_annotations(kind).items()
        options = [name for name, hint in hints if "ClassVar" not in str(hint)]
        if options:
            refuse(f"has options ({', '.join(options)}) but is no dataclass; write @dataclass(frozen=True) above it")
    owner = next(base for base in kind.__mro__ if "__init__" in vars(base))
    if owner is not object and "__dataclass_params__" not in vars(owner):
        refuse("has an __init__ of its own; its options are the fields of a dataclass: write @dataclass(frozen=True)")


def _require_options(kind: Any, folder: str, refuse: Refuse) -> None:
    for reserved in _RESERVED[folder]:
        if reserved in getattr(kind, "__dataclass_fields__", {}):
            refuse(f"has an option `{reserved}`, which a spec says about every {_NOUNS[folder]}; rename it")


def _require_signatures(kind: Any, folder: str, refuse: Refuse) -> None:
    for method, (arguments, expected) in _METHODS[folder].items():
        if not callable(getattr(kind, method)):
            refuse(f"has a `{method}` that is not a method; expected {expected}")
        signature = _called_on_an_instance(kind, method)
        if not _takes(signature, arguments, method in _OPEN_ENDED):
            refuse(f"has {method}{inspect.signature(getattr(kind, method))}; expected {expected}")


def _called_on_an_instance(kind: Any, method: str) -> inspect.Signature:
    """The signature of the method without self, if it has one."""
    signature = inspect.signature(getattr(kind, method))
    if isinstance(inspect.getattr_static(kind, method), staticmethod | classmethod):
        return signature
    positional = list(signature.parameters.values())
    if positional and positional[0].kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD:
        positional = positional[1:]
    return signature.replace(parameters=positional)


def _takes(signature: inspect.Signature, arguments: int, or_more: bool) -> bool:
    """Whether it can be called with that many arguments by position, or with more if that is all right."""
    parameters = signature.parameters.values()
    positional = sum(p.kind <= p.POSITIONAL_OR_KEYWORD for p in parameters)
    enough = positional >= arguments or any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return enough and (or_more or len(_required(signature)) <= arguments)


def _required(signature: inspect.Signature) -> list[str]:
    return [
        p.name
        for p in signature.parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def _require_reductions(kind: Any, refuse: Refuse) -> None:
    forward = inspect.signature(kind.forward)
    anything = any(p.kind is p.VAR_KEYWORD for p in forward.parameters.values())
    if kind.reductions and not anything and "reduction" not in forward.parameters:
        refuse(f"has forward{forward}; a loss with reductions = {kind.reductions!r} takes `reduction`")
    if not kind.reductions and "reduction" in forward.parameters:
        refuse("has a forward that takes `reduction` but no class attribute `reductions`; name those that it can do")
    if not hasattr(kind, "divisor"):
        return
    if not callable(kind.divisor):
        refuse("has a `divisor` that is not a method; expected divisor(self, target, reduction)")
    divisor = _called_on_an_instance(kind, "divisor")
    unknown = [name for name in _required(divisor) if name not in (*forward.parameters, *_OF_DIVISOR)]
    if unknown and not anything:
        found = inspect.signature(kind.divisor)
        refuse(f"has divisor{found}; it takes by name what forward takes, which has no `{unknown[0]}`")
