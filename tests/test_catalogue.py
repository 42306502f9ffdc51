"""Built-ins and plugins through one door, and what is refused at it."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from pathlib import Path

import pytest

import gradcheck
from gradcheck.catalogue import Catalogue
from gradcheck.errors import PluginError
from gradcheck.layers.relu import Relu
from gradcheck.losses.mse import Mse

HEADER = """\
from dataclasses import dataclass
from typing import ClassVar
from gradcheck import Layer, Loss
from gradcheck.layers.tanh import Tanh

"""
LAYER = """
@dataclass(frozen=True)
class ScaledTanh(Layer):
    scale: float = 1.0
    def forward(self, x): return x, None
    def backward(self, dy, cache): return dy, {}
"""
METHODS = """
    def forward(self, x): return x, None
    def backward(self, dy, cache): return dy, {}
"""
LOSS_METHODS = """
    def forward(self, prediction, target): return prediction, None
    def backward(self, upstream, cache): return upstream
"""


@pytest.fixture
def plugin(tmp_path):
    """Write a plugin below the usual imports -> its path."""

    def write(source: str, name: str = "mine.py") -> str:
        path = tmp_path / name
        path.write_text(HEADER + source)
        return str(path)

    return write


def refusal(plugin: str, *others: str) -> str:
    with pytest.raises(PluginError) as refused:
        Catalogue((*others, plugin))
    message = str(refused.value)
    start = f"plugin {plugin}: "
    assert message.startswith(start)
    return message.removeprefix(start)


# What is found --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["layers", "losses"])
def test_every_built_in_is_found_by_the_name_of_its_file(folder):
    package = importlib.import_module(f"gradcheck.{folder}")
    files = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))
    catalogue = Catalogue()
    assert catalogue.names(folder) == files
    assert all(catalogue.is_builtin(catalogue.find(folder, name)) for name in files)


def test_an_unknown_name_is_none():
    assert Catalogue().find("layers", "_base") is None
    assert Catalogue().find("layers", "mse") is None
    assert Catalogue().find("losses", "mse") is Mse


def test_a_plugin_offers_its_own_classes_and_nothing_else(plugin):
    source = LAYER + "class _Helper(ScaledTanh): pass\nAlias = ScaledTanh\nclass Unrelated: pass\n"
    catalogue, bare = Catalogue((plugin(source),)), Catalogue()
    assert set(catalogue.names("layers")) - set(bare.names("layers")) == {"scaled_tanh"}
    assert catalogue.names("losses") == bare.names("losses")
    kind = catalogue.find("layers", "scaled_tanh")
    assert kind(scale=2.0).scale == 2.0
    assert not catalogue.is_builtin(kind)


def test_a_spec_name_wins_over_the_class_name(plugin):
    path = plugin(
        f"class ReLUTwice(Layer):\n    spec_name = 'relu_twice'\n{METHODS}\nclass ReLUThrice(Layer):\n{METHODS}"
    )
    catalogue = Catalogue((path,))
    assert catalogue.find("layers", "relu_twice").__name__ == "ReLUTwice"
    assert catalogue.find("layers", "re_lu_thrice").__name__ == "ReLUThrice"
    assert catalogue.find("layers", "re_lu_twice") is None


def test_a_subclass_of_a_built_in_is_a_plugin_of_its_own(plugin):
    catalogue = Catalogue((plugin("class WrongTanh(Tanh):\n    def backward(self, dy, cache): return dy, {}\n"),))
    assert not catalogue.is_builtin(catalogue.find("layers", "wrong_tanh"))
    assert catalogue.is_builtin(Relu)


EVERY_FORM = """
class TwoInputs(Layer):
    def init(self, rng, a_shape, b_shape): ...
    def forward(self, a, b, weight=None): ...
    def backward(self, dy, cache, debug=False): ...

class AnyInputs(Layer):
    elementwise: ClassVar[bool] = True
    def forward(self, *inputs, **parameters): ...
    def backward(self, *args): ...

class WithoutSelf(Layer):
    @staticmethod
    def forward(x): ...
    @classmethod
    def backward(cls, dy, cache): ...

class Penalty(Loss):
    def forward(self, prediction): ...
    def backward(self, upstream, cache): ...

class Reducing(Loss):
    reductions = ("sum",)
    def forward(self, prediction, target, reduction): ...
    def backward(self, upstream, cache): ...
    def divisor(self, target, reduction, base=2): ...

class AnyData(Loss):
    reductions = ("sum",)
    def forward(self, prediction, **data): ...
    def backward(self, upstream, cache): ...
    def divisor(self, mask): ...
"""


def test_every_form_of_the_contract_is_accepted(plugin):
    catalogue = Catalogue((plugin(EVERY_FORM),))
    assert {"two_inputs", "any_inputs", "without_self"} <= set(catalogue.names("layers"))
    assert {"penalty", "reducing", "any_data"} <= set(catalogue.names("losses"))


# Importing ------------------------------------------------------------------------------------------------------------


def test_the_module_is_known_to_python_before_it_runs(plugin):
    catalogue = Catalogue((plugin("import sys\nKNOWN = sys.modules[__name__].__name__ == __name__\n" + LAYER),))
    module = sys.modules[catalogue.find("layers", "scaled_tanh").__module__]
    assert module.KNOWN


def test_a_module_by_its_dotted_name(plugin, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin(LAYER, "layers_of_mine.py")
    assert "scaled_tanh" in Catalogue(("layers_of_mine",)).names("layers")


def test_the_same_plugin_twice_is_loaded_once(plugin, tmp_path, monkeypatch):
    path = plugin(LAYER)
    monkeypatch.chdir(tmp_path)
    assert "scaled_tanh" in Catalogue((path, path, "mine.py", "./mine.py")).names("layers")
    kinds = {Catalogue((path,)).find("layers", "scaled_tanh") for _ in range(2)}
    assert len(kinds) == 1


def test_what_runs_is_what_the_file_says_now(plugin, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = plugin(LAYER)
    Catalogue((path,))
    before = Path(path).stat()
    plugin(LAYER.replace("ScaledTanh", "ScaledSinh"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "scaled_sinh" in Catalogue((path,)).names("layers")
    assert not Path(path).with_name("__pycache__").exists()


def test_a_missing_file(tmp_path):
    assert refusal(str(tmp_path / "gone.py")) == "there is no such file"
    (tmp_path / "folder.py").mkdir()
    assert refusal(str(tmp_path / "folder.py")) == "there is no such file"


def test_a_missing_module():
    expected = (
        "importing it raised ModuleNotFoundError: No module named 'no_such_module'; "
        "a plugin is FILE.py or the dotted name of a module"
    )
    assert refusal("no_such_module") == expected


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("\n1 / 0", "importing it raised ZeroDivisionError in line 7: division by zero"),
        ("import no_such", "importing it raised ModuleNotFoundError in line 6: No module named 'no_such'"),
        ("raise SystemExit(3)", "importing it raised SystemExit in line 6: 3"),
        ("def f(:", "importing it raised SyntaxError: invalid syntax (mine.py, line 6)"),
    ],
)
def test_a_plugin_that_fails_to_import_is_forgotten(plugin, source, reason):
    before = set(sys.modules)
    assert refusal(plugin(source)) == reason
    assert not {name for name in set(sys.modules) - before if "mine" in name}


def test_an_interrupt_is_no_refusal(plugin):
    with pytest.raises(KeyboardInterrupt):
        Catalogue((plugin("raise KeyboardInterrupt"),))


# The contract ---------------------------------------------------------------------------------------------------------

NO_CLASS = (
    "it defines no class that extends gradcheck.Layer or gradcheck.Loss; "
    "add one, without a leading underscore in its name"
)


@pytest.mark.parametrize("source", ["", "class Tanh2: pass", f"class _Hidden(Layer):{METHODS}", "Mine = Tanh"])
def test_a_plugin_without_a_class_of_its_own(plugin, source):
    assert refusal(plugin(source)) == NO_CLASS


FROZEN = "write @dataclass(frozen=True)"
REFUSALS = {
    "missing backward": (
        "class A(Layer):\n    def forward(self, x): ...",
        "class A has no method `backward`; a layer needs forward and backward",
    ),
    "missing both": (
        "class A(Loss): pass",
        "class A has no method `forward` and no method `backward`; a loss needs forward and backward",
    ),
    "not frozen": (
        f"@dataclass\nclass A(Layer):\n    k: int = 1\n{METHODS}",
        f"class A is a dataclass that is not frozen; {FROZEN}, because a layer keeps no state",
    ),
    "not frozen, inherited": (
        f"@dataclass\nclass _Base(Layer):\n    k: int = 1\n{METHODS}\nclass A(_Base): pass",
        f"class A is a dataclass that is not frozen; {FROZEN}, because a layer keeps no state",
    ),
    "options without dataclass": (
        f"class A(Layer):\n    k: int = 1\n    eps: float = 0\n{METHODS}",
        f"class A has options (k, eps) but is no dataclass; {FROZEN} above it",
    ),
    "its own __init__": (
        f"class _Base(Layer):\n    def __init__(self, k): self.k = k\n{METHODS}\nclass A(_Base): pass",
        f"class A has an __init__ of its own; its options are the fields of a dataclass: {FROZEN}",
    ),
    "an option that is reserved": (
        f"@dataclass(frozen=True)\nclass A(Layer):\n    name: str = ''\n{METHODS}",
        "class A has an option `name`, which a spec says about every layer; rename it",
    ),
    "a loss option that is reserved": (
        f"@dataclass(frozen=True)\nclass A(Loss):\n    reduction: str = ''\n{LOSS_METHODS}",
        "class A has an option `reduction`, which a spec says about every loss; rename it",
    ),
    "backward takes too little": (
        "class A(Layer):\n    def forward(self, x): ...\n    def backward(self, dy): ...",
        "class A has backward(self, dy); expected backward(self, dy, cache)",
    ),
    "backward takes too much": (
        "class A(Loss):\n    def forward(self, p): ...\n    def backward(self, upstream, cache, extra): ...",
        "class A has backward(self, upstream, cache, extra); expected backward(self, upstream, cache)",
    ),
    "backward needs more by name": (
        "class A(Layer):\n    def forward(self, x): ...\n    def backward(self, dy, cache, *, x): ...",
        "class A has backward(self, dy, cache, *, x); expected backward(self, dy, cache)",
    ),
    "forgotten self": (
        "class A(Layer):\n    def forward(x): ...\n    def backward(self, dy, cache): ...",
        "class A has forward(x); expected forward(self, x, ...)",
    ),
    "forward without a prediction": (
        "class A(Loss):\n    def forward(self, *, target): ...\n    def backward(self, upstream, cache): ...",
        "class A has forward(self, *, target); expected forward(self, prediction, ...)",
    ),
    "init without a shape": (
        f"class A(Layer):\n    def init(self, rng): ...{METHODS}",
        "class A has init(self, rng); expected init(self, rng, x_shape)",
    ),
    "constants without a generator": (
        f"class A(Layer):\n    def constants(self): ...{METHODS}",
        "class A has constants(self); expected constants(self, rng, *x_shapes)",
    ),
    "a method that is none": (
        "class A(Layer):\n    forward = 3\n    def backward(self, dy, cache): ...",
        "class A has a `forward` that is not a method; expected forward(self, x, ...)",
    ),
    "per_sample is one string": (
        f"class A(Layer):\n    per_sample = 'mask'{METHODS}",
        "class A has per_sample = 'mask'; expected a tuple of names, such as ('mask',)",
    ),
    "reductions is one string": (
        f"class A(Loss):\n    reductions = ('sum'){LOSS_METHODS}",
        "class A has reductions = 'sum'; expected a tuple of names, such as ('sum', 'mean')",
    ),
    "reductions that forward does not take": (
        f"class A(Loss):\n    reductions = ('sum',){LOSS_METHODS}",
        "class A has forward(self, prediction, target); a loss with reductions = ('sum',) takes `reduction`",
    ),
    "a reduction that is not declared": (
        "class A(Loss):\n    def forward(self, p, reduction): ...\n    def backward(self, upstream, cache): ...",
        "class A has a forward that takes `reduction` but no class attribute `reductions`; name those that it can do",
    ),
    "a divisor of something else": (
        f"class A(Loss):\n    def divisor(self, mask, reduction): ...{LOSS_METHODS}",
        "class A has divisor(self, mask, reduction); it takes by name what forward takes, which has no `mask`",
    ),
    "a divisor that is a number": (
        f"class A(Loss):\n    divisor = 3{LOSS_METHODS}",
        "class A has a `divisor` that is not a method; expected divisor(self, target, reduction)",
    ),
    "a spec_name that is no name": (
        f"class A(Layer):\n    spec_name = 'my layer'{METHODS}",
        "class A has spec_name = 'my layer'; expected a name of letters, digits and underscores, such as 'scaled_tanh'",
    ),
    "a spec_name that is no text": (
        f"class A(Layer):\n    spec_name = 3{METHODS}",
        "class A has spec_name = 3; expected a name of letters, digits and underscores, such as 'scaled_tanh'",
    ),
    "the name of a built-in": (
        f"class Tanh(Layer):{METHODS}",
        (
            "class Tanh would be called `tanh`, the name of the layer that ships with gradcheck; "
            "rename it or give it a class attribute `spec_name`"
        ),
    ),
    "the name of the uses of modules": (
        f"class Module(Layer):{METHODS}",
        (
            "class Module would be called `module`, which in a spec uses one of its `modules`; "
            "rename it or give it a class attribute `spec_name`"
        ),
    ),
    "a loss with the name of a built-in": (
        f"class Mine(Loss):\n    spec_name = 'mse'{LOSS_METHODS}",
        (
            "class Mine would be called `mse`, the name of the loss that ships with gradcheck; "
            "rename it or give it a class attribute `spec_name`"
        ),
    ),
}


@pytest.mark.parametrize("mistake", REFUSALS)
def test_a_class_that_breaks_the_contract_is_refused_with_the_reason(plugin, mistake):
    source, reason = REFUSALS[mistake]
    assert refusal(plugin(source)) == reason


def test_two_plugins_may_not_offer_one_name(plugin):
    first = plugin(LAYER, "first.py")
    second = plugin(f"class Scaled_Tanh(Layer):{METHODS}", "second.py")
    expected = (
        f"class Scaled_Tanh would be called `scaled_tanh`, the name of the layer ScaledTanh of the plugin {first}; "
        "rename it or give it a class attribute `spec_name`"
    )
    assert refusal(second, first) == expected


def test_a_layer_and_a_loss_may_share_a_name(plugin):
    catalogue = Catalogue((plugin(f"class Mse(Layer):{METHODS}"),))
    assert issubclass(catalogue.find("layers", "mse"), gradcheck.Layer)
    assert catalogue.find("losses", "mse") is Mse
