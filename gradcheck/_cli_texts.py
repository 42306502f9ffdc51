"""What `gradcheck list` and `gradcheck explain` print: the docstrings of layers, losses and checks."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from msgspec import Struct

from gradcheck import checks as _checks
from gradcheck import diagnosis as _diagnosis
from gradcheck.catalogue import Catalogue
from gradcheck.findings import CODES
from gradcheck.losses._base import ELEMENTWISE_REDUCTIONS, Loss
from gradcheck.losses._weighted import Pointwise

_FORMULAS = ("forward", "backward")
_FACTS = ("domain", "divisors", "verified")
#: The release that layers were held against; `reference` in pyproject.toml installs it.
PYTORCH = "2.13"
#: The check whose findings are diagnosed.
DIAGNOSED = "gradient"


class Unit(Struct, frozen=True):
    """A layer or a loss in words.

    options   as a spec writes them
    formulas  the paragraphs with the formulas
    facts     what else is to be known, a paragraph each: of a layer what it was verified against; of a loss its
              domain, reductions and divisors
    """

    name: str
    summary: str
    formulas: tuple[str, ...]
    options: tuple[str, ...]
    facts: tuple[str, ...] = ()

    @property
    def formula(self) -> str:
        """The first formula on its own: `y = x W + b`."""
        first = self.formulas[0].splitlines()[0] if self.formulas else ""
        return re.sub(r"\s+", " ", re.split(r"\s{3,}", first.removeprefix("forward").strip())[0])


def units(catalogue: Catalogue, folder: str) -> list[Unit]:
    """All `layers` or `losses`, by name."""
    return [_unit(name, catalogue.find(folder, name)) for name in catalogue.names(folder)]


def list_units(catalogue: Catalogue, folder: str) -> str:
    """A paragraph for each layer or loss."""
    return "\n\n".join(_paragraph(unit) for unit in units(catalogue, folder))


def list_checks() -> str:
    """A paragraph for each check: what it asks, and the codes of its findings."""
    return "\n\n".join(
        "\n".join([f"{name}: {_doc(check).splitlines()[0]}", *(f"    {code} {CODES[code]}" for code in _codes(check))])
        for name, check in _all_checks()
    )


def _codes(check: ModuleType) -> list[str]:
    """The codes of a check's findings; of those about the gradient also the names of mistakes."""
    named = [mistake.CODE for mistake in _all_mistakes()] if check.NAME == DIAGNOSED else []
    return sorted({*check.CODES, *named})


def explain(code: str) -> str:
    """The code's own text, or that of the check that reports findings with it."""
    texts = [
        f"{code} {CODES[code]} (check: {name})\n\n{inspect.cleandoc(_own_texts(check).get(code) or _doc(check))}"
        for name, check in _all_checks()
        if code in check.CODES
    ]
    texts += [
        f"{code} {CODES[code]} (check: {DIAGNOSED}, a diagnosis)\n\n{_doc(mistake)}"
        for mistake in _all_mistakes()
        if code == mistake.CODE
    ]
    return "\n\n".join(texts)


def _all_mistakes() -> list[ModuleType]:
    """The known mistakes, one a file."""
    names = [m.name for m in pkgutil.iter_modules(_diagnosis.__path__) if not m.name.startswith("_")]
    found = [importlib.import_module(f"{_diagnosis.__name__}.{name}") for name in names]
    return sorted(found, key=lambda mistake: str(mistake.CODE))


def explanation(code: str) -> str:
    """The text alone, without the line that says whose it is."""
    return explain(code).partition("\n\n")[2]


def _own_texts(check: ModuleType) -> Mapping[str, str]:
    """By code, texts that say more about it than its check's does: `EXPLAINED` of the check, where it has some."""
    texts: Mapping[str, str] = getattr(check, "EXPLAINED", {})
    return texts


def _all_checks() -> Iterator[tuple[str, ModuleType]]:
    for found in pkgutil.iter_modules(_checks.__path__):
        if not found.name.startswith("_"):
            yield found.name, importlib.import_module(f"{_checks.__name__}.{found.name}")


def _doc(documented: Any) -> str:
    return inspect.cleandoc(documented.__doc__ or "(no docstring)")


def _unit(name: str, kind: Any) -> Unit:
    paragraphs = re.split(r"\n\s*\n", _doc(kind))
    formulas = tuple(text for text in paragraphs if text.startswith(_FORMULAS))
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    options = tuple(map(_option, sorted(fields, key=lambda field: field.kw_only is True)))
    facts = [re.sub(r"\btorch\.[\w.]+", rf"\g<0> of PyTorch {PYTORCH}", x) for x in paragraphs if x.startswith(_FACTS)]
    return Unit(name, paragraphs[0].splitlines()[0], formulas, options, (*facts, *_reductions(kind, facts)))


def _reductions(kind: Any, facts: Sequence[str]) -> Iterator[str]:
    """Of a loss, its weights and reductions, and what they divide by where its docstring does not say."""
    if not issubclass(kind, Loss):
        return
    if hasattr(kind, "mean_over"):
        of_outputs = " × output_weight" if issubclass(kind, Pointwise) else ""
        yield f"weights     w = sample_weight (N,) × mask (0 or 1){of_outputs}, those that are given"
    if not kind.reductions and not any(fact.startswith("divisors") for fact in facts):
        weights = ", or with mean_over the sum of their weights" if hasattr(kind, "mean_over") else ""
        yield f"divisors    mean: the number of losses{weights}; batch_mean: the samples"
    yield f"reductions  {', '.join(kind.reductions or ELEMENTWISE_REDUCTIONS)}"


def _option(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        return f"{field.name} (required)"
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    words = {None: "null", True: "true", False: "false"}
    return f"{field.name}: {words[value] if value is None or isinstance(value, bool) else value}"


def _paragraph(unit: Unit) -> str:
    lines = [f"{unit.name}: {unit.summary}"]
    lines += [f"    {line}" for text in (*unit.formulas, *unit.facts) for line in text.splitlines()]
    lines.append(f"    options     {', '.join(unit.options) or 'none'}")
    return "\n".join(lines)
