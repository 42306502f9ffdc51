"""Layers that keep what their backward needs, in the forms that courses and books give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.cli import main
from gradcheck.findings import SpecReport

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4))


def found(layer: Any, **options: Any) -> SpecReport:
    (spec,) = gradcheck.check_layer(layer, X, **options).specs
    return spec


class InDictionaries:
    """params and grads are dictionaries; the gradients are those of the last backward."""

    def __init__(self, in_features: int = 4, out_features: int = 2) -> None:
        weight = np.random.default_rng(1).standard_normal((in_features, out_features))
        self.params = {"W": weight, "b": np.zeros(out_features)}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.grads = {"W": self.x.T @ dy, "b": dy.sum(axis=0)}
        return dy @ self.params["W"].T


class InAttributes(InDictionaries):
    """W, b, dW and db, as in books."""

    def __init__(self) -> None:
        self.W, self.b = np.random.default_rng(1).standard_normal((4, 2)), np.zeros(2)
        self.dW = self.db = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.dW, self.db = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.W.T


class InListsWrittenInto(InAttributes):
    """params and grads are lists of the same arrays that the attributes are; gradients are added up from call to call.

    Used before it is checked, so that its gradients are not zero.
    """

    def __init__(self) -> None:
        super().__init__()
        self.params, self.dW, self.db = [self.W, self.b], np.zeros((4, 2)), np.zeros(2)
        self.grads = [self.dW, self.db]
        self.forward(X)
        self.backward(np.ones((3, 2)))

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.dW += self.x.T @ dy
        self.db += dy.sum(axis=0)
        return dy @ self.W.T


class WithMethods(InDictionaries):
    """Two sub-layers, parameters and gradients asked for by methods under other names."""

    def __init__(self) -> None:
        self.inner = [InDictionaries(4, 3), InDictionaries(3, 2)]

    def parameters(self) -> dict[str, np.ndarray]:
        return {f"{name}{k}": a for k, each in enumerate(self.inner) for name, a in each.params.items()}

    def gradients(self) -> dict[str, np.ndarray]:
        return {f"grad_{name}{k}": a for k, each in enumerate(self.inner) for name, a in each.grads.items()}

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.inner[1].forward(np.tanh(self.inner[0].forward(x)))

    def backward(self, dy: np.ndarray) -> np.ndarray:
        dh = self.inner[1].backward(dy)
        return self.inner[0].backward(dh * (1 - self.inner[1].x ** 2))


class Softmax:
    """No parameters; complex numbers pass through it."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        return self.y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return self.y * (dy - (dy * self.y).sum(axis=1, keepdims=True))


@pytest.mark.parametrize(("layer", "names"), [
    (InDictionaries(), ["in_dictionaries.W", "in_dictionaries.b"]),
    (InAttributes(), ["in_attributes.W", "in_attributes.b"]),
    (InListsWrittenInto(), ["in_lists_written_into.W", "in_lists_written_into.b"]),
    (gradcheck.from_stateful(WithMethods(), params="parameters", grads="gradients", name="two"),
     ["two.W0", "two.b0", "two.W1", "two.b1"]),
    (gradcheck.from_stateful(InAttributes(), params=("W",), grads=("dW",), name="dense"), ["dense.W"]),
    (Softmax(), []),
])  # fmt: skip
def test_a_right_layer_passes_in_every_form(layer: Any, names: list[str]) -> None:
    spec = found(layer)
    assert (spec.verdict, [row.name for row in spec.parameters]) == ("pass", names)
    assert all(row.checked == row.entries for row in spec.rows)
    assert {row.method for row in spec.rows} == {"complex"}


def test_the_layer_itself_is_neither_called_nor_changed() -> None:
    layer = InListsWrittenInto()
    before = {name: np.copy(value) for name, value in vars(layer).items() if isinstance(value, np.ndarray)}
    found(layer)
    assert all((vars(layer)[name] == value).all() for name, value in before.items())


class MeanOverBatch(InDictionaries):
    def backward(self, dy: np.ndarray) -> np.ndarray:
        dx = super().backward(dy)
        self.grads["b"] = dy.mean(axis=0)
        return dx


class Forgets(InAttributes):
    def backward(self, dy: np.ndarray) -> np.ndarray:
        dx = super().backward(dy)
        self.db = None
        return dx


class SpoilsWhatItKept(Softmax):
    def backward(self, dy: np.ndarray) -> np.ndarray:
        dx = super().backward(dy)
        self.y *= 0
        return dx


class WritesIntoTheUpstream(Softmax):
    def backward(self, dy: np.ndarray) -> np.ndarray:
        dx = super().backward(dy)
        dy[...] = dx
        return dy


class Scales(InListsWrittenInto):
    def backward(self, dy: np.ndarray) -> np.ndarray:
        return super().backward(dy) * 2


@pytest.mark.parametrize(("layer", "code", "at"), [
    (MeanOverBatch(), "GC1", "mean_over_batch.b"), (Forgets(), "GC108", "forgets.b"), (Scales(), "GC1", "input"),
    (SpoilsWhatItKept(), "GC501", "spoils_what_it_kept"),
    (WritesIntoTheUpstream(), "GC501", "writes_into_the_upstream"),
])  # fmt: skip
def test_a_planted_mistake_is_found_and_the_line_named(layer: Any, code: str, at: str) -> None:
    spec = found(layer)
    findings = [finding for finding in spec.findings if finding.code.startswith(code)]
    assert spec.verdict == "fail"
    assert at in [finding.at for finding in findings]
    source = findings[0].source
    assert source is not None
    kind = type(layer).__name__
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    assert lines[source.line - 1].strip().startswith("def backward(")
    assert next(line for line in reversed(lines[: source.line]) if line.startswith("class ")).startswith(
        f"class {kind}("
    )


class Views(InDictionaries):
    def __init__(self) -> None:
        self.flat = np.zeros(8)
        self.params = {"W": self.flat.reshape(4, 2)}


class Copies(InAttributes):
    @property
    def params(self) -> dict[str, np.ndarray]:
        return {"W": self.W.copy()}


class Unclear(Softmax):
    def __init__(self) -> None:
        self.table = np.zeros(3)


class Whole(InDictionaries):
    def __init__(self) -> None:
        self.params = {"W": np.zeros((4, 2), dtype=int)}


class Single(InDictionaries):
    def __init__(self) -> None:
        self.params = np.zeros(3)


@pytest.mark.parametrize(("layer", "said"), [
    (Views(), "Views holds a view of its parameter `W`"), (Copies(), "`params` of Copies gives copies of `W`"),
    (Unclear(), "whether it learns table; say so: from_stateful(layer, params=('table',), grads=('dtable',))"),
    (Whole(), "the parameter `W` of Whole is int64; expected a NumPy array of floats"),
    (Single(), "`params` of Single is ndarray; expected a dictionary or a list of arrays"),
    (type("Half", (), {"forward": len})(), "Half has no `backward`"),
])  # fmt: skip
def test_what_cannot_be_adapted_is_refused_in_a_sentence(layer: Any, said: str) -> None:
    with pytest.raises(TypeError) as caught:
        gradcheck.from_stateful(layer)
    assert said in str(caught.value)


def test_a_class_is_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    Path("course.py").write_text(
        "import numpy as np\n"
        "from gradcheck import from_stateful\n"
        "class _Dense:\n"
        "    def __init__(self, n_in: int, n_out: int = 2, *, scale=1.0):\n"
        "        self.params = {'W': scale * np.random.randn(n_in, n_out)}\n"
        "    def forward(self, x):\n"
        "        self.x = x\n"
        "        return x @ self.params['W']\n"
        "    def backward(self, dy):\n"
        "        self.grads = {'dW': self.x.T @ dy}\n"
        "        return dy @ self.params['W'].T\n"
        "Dense = from_stateful(_Dense, name='dense')\n",
        encoding="utf-8",
    )
    Path("net.yaml").write_text(
        "data:\n  batch_size: 3\n  inputs: {shape: [4]}\n  targets: {shape: [2]}\n"
        "network:\n  - dense: {n_in: 4, n_out: 3}\n  - tanh\n  - dense: {n_in: 3}\nloss: mse\n",
        encoding="utf-8",
    )
    assert main(["run", "net.yaml", "--plugin", "course.py"]) == 0
    first = capsys.readouterr().out
    assert "dense n_in=4, n_out=3" in first
    np.random.seed(5)
    assert main(["run", "net.yaml", "--plugin", "course.py"]) == 0
    assert capsys.readouterr().out == first
    assert main(["list", "layers", "--plugin", "course.py"]) == 0
    assert "options     n_in (required), n_out: 2, scale: 1.0" in capsys.readouterr().out
    Path("net.yaml").write_text(Path("net.yaml").read_text().replace("n_in: 3", "n_im: 3"), encoding="utf-8")
    assert main(["run", "net.yaml", "--plugin", "course.py"]) == 2
    assert "`dense` has no option `n_im`; did you mean `n_in`?" in " ".join(capsys.readouterr().out.split())
