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
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from gradcheck.errors import PluginError
from gradcheck.layers._base import Layer
from gradcheck.losses._base import Loss
from gradcheck.naming import spec_name

Unit = type[Layer] | type[Loss]
_PACKAGE = Path(__file__).parent
_FOLDERS: dict[str, type] = {"layers": Layer, "losses": Loss}
_NOUNS = {"layers": "layer", "losses": "loss"}


class Catalogue:
    """The layers and losses that a spec may name."""

    def __init__(self, plugins: tuple[str, ...] = ()) -> None:
        self._plugins: dict[str, dict[str, Unit]] = {folder: {} for folder in _FOLDERS}
        self._loaded: set[str] = set()
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
        """Load a plugin, given as FILE.py or as the dotted name of a module."""
        module = _import(plugin)
        if module.__name__ in self._loaded:
            return
        self._loaded.add(module.__name__)
        found = 0
        for kind in list(vars(module).values()):
            folder = _folder_of(kind, module)
            if folder is None:
                continue
            _require_contract(plugin, folder, kind)
            self._offer(plugin, folder, kind)
            found += 1
        if not found:
            raise PluginError(
                f"plugin {plugin}: it defines no class that extends gradcheck.Layer or gradcheck.Loss; "
                "add one, without a leading underscore in its name"
            )

    def _offer(self, plugin: str, folder: str, kind: Unit) -> None:
        name = spec_name(kind)
        if name in self.names(folder):
            owner = self._plugins[folder].get(name)
            whose = f"of the plugin {inspect.getfile(owner)}" if owner else "that ships with gradcheck"
            raise PluginError(
                f"plugin {plugin}: class {kind.__name__} would be called `{name}`, "
                f"the name of a {_NOUNS[folder]} {whose}; rename it or give it a class attribute `spec_name`"
            )
        self._plugins[folder][name] = kind


def _builtin_names(folder: str) -> list[str]:
    return sorted(path.stem for path in (_PACKAGE / folder).glob("*.py") if not path.stem.startswith("_"))


def _builtin(folder: str, name: str) -> Unit:
    module = importlib.import_module(f"{__package__}.{folder}.{name}")
    for kind in vars(module).values():
        if _folder_of(kind, module) == folder and spec_name(kind) == name:
            return kind  # type: ignore[no-any-return]
    raise AssertionError(f"{module.__file__} defines no class that is called `{name}` in a spec")


def _folder_of(kind: Any, module: ModuleType) -> str | None:
    if not inspect.isclass(kind) or kind.__module__ != module.__name__ or kind.__name__.startswith("_"):
        return None
    return next((folder for folder, base in _FOLDERS.items() if issubclass(kind, base)), None)


def _import(plugin: str) -> ModuleType:
    path = Path(plugin)
    is_file = path.suffix == ".py"
    if is_file and not path.is_file():
        raise PluginError(f"plugin {plugin}: there is no such file")
    try:
        return _import_file(path) if is_file else importlib.import_module(plugin)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        hint = "; a plugin is FILE.py or the dotted name of a module" if not is_file else ""
        raise PluginError(f"plugin {plugin}: importing it raised {type(error).__name__}: {error}{hint}") from error


def _import_file(path: Path) -> ModuleType:
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    name = f"gradcheck_plugin_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _require_contract(plugin: str, folder: str, kind: Any) -> None:
    def refuse(reason: str) -> None:
        raise PluginError(f"plugin {plugin}: class {kind.__name__} {reason}")

    for method in sorted(getattr(kind, "__abstractmethods__", ())):
        refuse(f"has no method `{method}`; a {_NOUNS[folder]} needs forward and backward")
    _require_frozen(kind, refuse)
    _require_signatures(folder, kind, refuse)


def _require_frozen(kind: Any, refuse: Callable[[str], None]) -> None:
    own = vars(kind)
    if "__dataclass_params__" in own:
        if not kind.__dataclass_params__.frozen:
            refuse("is a dataclass that is not frozen; write @dataclass(frozen=True), because a layer keeps no state")
        return
    annotations = inspect.get_annotations(kind)
    options = [name for name, hint in annotations.items() if "ClassVar" not in str(hint)]
    if options:
        refuse(f"has options ({', '.join(options)}) but is no dataclass; write @dataclass(frozen=True) above it")
    if "__init__" in own:
        refuse("has an __init__ of its own; its options are the fields of a dataclass: write @dataclass(frozen=True)")


def _require_signatures(folder: str, kind: Any, refuse: Callable[[str], None]) -> None:
    calls: dict[str, tuple[tuple[Any, ...], str]] = {"backward": ((None, None), "backward(self, dy, cache)")}
    if folder == "losses":
        calls["backward"] = ((None, None), "backward(self, upstream, cache)")
    if folder == "layers":
        calls["init"] = ((None, None), "init(self, rng, x_shape)")
        calls["constants"] = ((None, None), "constants(self, rng, *x_shapes)")
    for method, (arguments, expected) in calls.items():
        if not callable(getattr(kind, method)):
            refuse(f"has a `{method}` that is not a method; expected {expected}")
        if not _accepts(getattr(kind, method), arguments):
            found = f"{method}{inspect.signature(getattr(kind, method))}"
            refuse(f"has {found}; expected {expected}")
    forward = inspect.signature(kind.forward)
    positional = [p for p in forward.parameters.values() if p.kind <= inspect.Parameter.VAR_POSITIONAL]
    if len(positional) < 2 and not any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in positional):
        refuse(f"has forward{forward}; expected forward(self, x, ...)")
    if folder == "losses":
        _require_reductions(kind, forward, refuse)


def _require_reductions(kind: Any, forward: inspect.Signature, refuse: Callable[[str], None]) -> None:
    names = kind.reductions
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        refuse(f"has reductions = {names!r}; expected a tuple of names, such as ('sum', 'mean')")
    takes = "reduction" in forward.parameters or any(
        p.kind is inspect.Parameter.VAR_KEYWORD for p in forward.parameters.values()
    )
    if names and not takes:
        refuse(f"has forward{forward}; a loss with reductions = {names!r} takes `reduction`")
    if not names and "reduction" in forward.parameters:
        refuse("has a forward that takes `reduction` but no class attribute `reductions`; name those that it can do")


def _accepts(method: Any, arguments: tuple[Any, ...]) -> bool:
    """Whether an unbound method, or one that is static or of the class, can be called with these after self.

    Several inputs mean several shapes: an init that needs more than the given ones is accepted.
    """
    signature = inspect.signature(method)
    try:
        signature.bind(None, *arguments)
    except TypeError:
        if method.__name__ not in ("init", "constants"):
            return False
        required = [
            p for p in signature.parameters.values() if p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD
        ]
        return len(required) > len(arguments)
    return True
