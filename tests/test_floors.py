"""The house keeps its order: imports point down, siblings do not know each other, every unit has its test.

Each rule is a function from a source tree to complaints. It must have none about gradcheck, and it must have some
about small trees that are broken on purpose.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from gradcheck.findings import CODES

ROOT = Path(__file__).parent.parent
FLOORS = (
    {"complex_safe", "errors", "findings", "naming", "maths", "step_sweep"},
    {"calling", "layers", "losses", "endings", "silencing"},
    {"catalogue", "network", "sources", "adapters"},
    {"assembly"},
    {"spec", "gradients"},
    {"compare", "evidence", "alone", "_course", "_ground", "_scene", "probing"},
    {"suspect", "_jacobians", "_sides"},
    {"checks", "diagnosis"},
    {"pipeline", "stepping"},
    {"report", "workers"},
    {"cli", "api"},
    {"__main__", "pytest_plugin"},
)
#: Folders whose files make up one unit; in all others each file is one and knows no sibling.
WHOLES = ("spec", "gradients.numeric", "workers")
SILENT_ON_NUMPY = (
    "errors", "findings", "naming", "report", "silencing", "step_sweep", "cli", "_cli_", "pytest_plugin",
)  # fmt: skip
HEADINGS = ("What it is", "Why it is bad", "Typical causes", "How to repair", "How to silence")


def modules(root: Path) -> dict[str, ast.Module]:
    """Dotted name, without the package's own -> syntax tree, for every file but the package's `__init__`."""
    package = root / "gradcheck"
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name:
            found[name] = parsed(path.read_text(encoding="utf-8"))
    return found


@cache
def parsed(text: str) -> ast.Module:
    """The syntax tree of a file; every rule walks the same ones."""
    return ast.parse(text)


def statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Every statement of a file, however deep: what stands in an expression imports nothing."""
    for block in ("body", "orelse", "handlers", "finalbody", "cases"):
        inside = getattr(tree, block, ())
        for node in inside if isinstance(inside, list) else ():
            if isinstance(node, ast.stmt):
                yield node
            yield from statements(node)


def imported(tree: ast.Module, package: str = "gradcheck") -> Iterator[str]:
    """Every module that is imported anywhere in a file, as written; of `from a import b` both `a` and `a.b`."""
    for node in statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            if node.module.split(".")[0] == package:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor(module: str) -> int | None:
    top = "cli" if module.startswith("_cli_") else module.split(".")[0]
    return next((number for number, names in enumerate(FLOORS) if top in names), None)


def upward_imports(root: Path) -> list[str]:
    """A module imports from lower floors, from its own whole, and from a `_`-named file of its own folder."""
    everything = modules(root)
    complaints = [f"{module} stands on no floor" for module in everything if floor(module) is None]
    for module, tree in everything.items():
        wanted = {name.removeprefix("gradcheck.") for name in imported(tree)}
        for other in sorted(wanted & set(everything) - {module}):
            here, there = floor(module), floor(other)
            if here is not None and there is not None and here <= there and not _may_share(module, other):
                complaints.append(f"{module} (floor {here}) imports {other} (floor {there})")
    return complaints


def _may_share(module: str, other: str) -> bool:
    folder, _, name = other.rpartition(".")
    at_home = module == folder or module.startswith(f"{folder}.") or (not folder and "." not in module)
    whole = any(all(name == w or name.startswith(f"{w}.") for name in (module, other)) for w in WHOLES)
    package_of_it = module.startswith(f"{other}.")
    return floor(module) == floor(other) and ((at_home and name.startswith("_")) or whole or package_of_it)


def reports_that_see_more(root: Path) -> list[str]:
    """A report format sees findings alone, a format of a sweep the sweep alone."""
    seen = ("gradcheck.findings", "gradcheck.report", "gradcheck.step_sweep")
    return [
        f"{module} imports {name}"
        for module, tree in modules(root).items()
        if module.startswith("report.")
        for name in imported(tree)
        if name.startswith("gradcheck.") and not name.startswith(seen)
    ]


def early_numpy(root: Path) -> list[str]:
    """What help and usage errors load, and what a report loads, imports no numpy when it is loaded."""
    return [
        f"{module} imports {name}"
        for module, tree in modules(root).items()
        if module.startswith(SILENT_ON_NUMPY)
        for name in imported(ast.Module([n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], []))
        if name.split(".")[0] == "numpy"
    ]


def numeric_calling_backward(root: Path) -> list[str]:
    """The numeric witness never calls a backward, and does not know the analytic one."""
    complaints = []
    for module, tree in modules(root).items():
        if module.startswith("gradients.numeric"):
            attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            known = {name for name in imported(tree) if name.startswith("gradcheck.gradients.analytic")}
            complaints += [f"{module} uses {name}" for name in (attributes & {"backward"}) | known]
        if module == "gradients.analytic":
            complaints += [f"{module} uses {name}" for name in imported(tree) if ".gradients.numeric" in name]
    return complaints


def units_without_tests(root: Path) -> list[str]:
    """Every layer and loss has its test file, and every test file its layer or loss, or what several of them share."""
    complaints = []
    for folder in ("layers", "losses"):
        units = {path.stem for path in (root / "gradcheck" / folder).glob("[!_]*.py")}
        shared = {path.stem.lstrip("_") for path in (root / "gradcheck" / folder).glob("_*.py")}
        tests = {path.stem.removeprefix("test_") for path in (root / "tests" / folder).glob("test_*.py")}
        complaints += [f"gradcheck/{folder}/{name}.py has no test" for name in sorted(units - tests)]
        complaints += [f"tests/{folder}/test_{name}.py tests nothing" for name in sorted(tests - units - shared)]
    return complaints


def unexplained_checks(root: Path, codes: dict[str, str] = CODES) -> list[str]:
    """Every check's docstring is the text of `explain`, and every code is explained by just one check or diagnosis."""
    complaints = []
    owners: dict[str, list[str]] = {code: [] for code in codes}
    for module, tree in modules(root).items():
        if not re.match(r"(checks|diagnosis)\.[^_]", module):
            continue
        headings = re.findall(r"^## (.+)$", ast.get_docstring(tree) or "", re.MULTILINE)
        if headings != list(HEADINGS):
            complaints.append(f"{module} has the headings {headings}")
        for code in _codes(tree):
            owners.setdefault(code, []).append(module)
    complaints += [f"{code} is explained by {len(of)} checks {of}" for code, of in owners.items() if len(of) != 1]
    complaints += [f"{code} is not in findings.CODES" for code in owners if code not in codes]
    return complaints


def _codes(tree: ast.Module) -> tuple[str, ...]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CODES":
            return tuple(ast.literal_eval(node.value))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CODE":
            return (ast.literal_eval(node.value),)
    return ()


def badly_named_codes(codes: dict[str, str]) -> list[str]:
    """Codes are GC and three digits; names are words with dashes, each of one code only."""
    names = list(codes.values())
    return [
        f"{code} {name}"
        for code, name in codes.items()
        if not re.fullmatch(r"GC[1-9]\d\d", code)
        or not re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        or names.count(name) > 1
    ]


RULES: tuple[Callable[[Path], list[str]], ...] = (
    upward_imports,
    reports_that_see_more,
    early_numpy,
    numeric_calling_backward,
    units_without_tests,
    unexplained_checks,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Callable[[Path], list[str]]) -> None:
    assert rule(ROOT) == []


def test_the_house_is_looked_at() -> None:
    found = modules(ROOT)
    assert {"cli", "_cli_run", "layers.linear", "report.full", "gradients.analytic", "spec.case"} <= set(found)
    assert "gradcheck.findings" in set(imported(found["report.full"]))


def test_codes_are_well_named() -> None:
    assert badly_named_codes(CODES) == []
    assert badly_named_codes({"GC1": "x", "GC100": "Wrong name", "GC101": "same", "GC102": "same"}) == [
        "GC1 x",
        "GC100 Wrong name",
        "GC101 same",
        "GC102 same",
    ]


_EXPLAINED = '"""Title.\n\n' + "\n\n".join(f"## {heading}\ntext" for heading in HEADINGS) + '\n"""\n'

BROKEN = {
    "a layer imports the network": (
        upward_imports,
        {"layers/a.py": "from gradcheck.network import Network", "network.py": ""},
        "layers.a (floor 1) imports network (floor 2)",
    ),
    "hidden in a function": (
        upward_imports,
        {"errors.py": "def f():\n    import gradcheck.cli", "cli.py": ""},
        "errors (floor 0) imports cli (floor 10)",
    ),
    "hidden in what is done if all else fails": (
        upward_imports,
        {
            "errors.py": "match 1:\n    case 1:\n        try:\n            pass\n        except KeyError:\n"
            "            with open('x'):\n                import gradcheck.cli",
            "cli.py": "",
        },
        "errors (floor 0) imports cli (floor 10)",
    ),
    "by way of the package": (
        upward_imports,
        {"checks/a.py": "from gradcheck import pipeline", "pipeline.py": ""},
        "checks.a (floor 7) imports pipeline (floor 8)",
    ),
    "a layer imports a layer": (
        upward_imports,
        {"layers/a.py": "from gradcheck.layers.b import B", "layers/b.py": ""},
        "layers.a (floor 1) imports layers.b (floor 1)",
    ),
    "a layer imports a private file of the losses": (
        upward_imports,
        {"layers/a.py": "from gradcheck.losses._data import x", "losses/_data.py": ""},
        "layers.a (floor 1) imports losses._data (floor 1)",
    ),
    "one witness imports the other": (
        upward_imports,
        {"gradients/analytic.py": "import gradcheck.gradients.numeric.sweep", "gradients/numeric/sweep.py": ""},
        "gradients.analytic (floor 4) imports gradients.numeric.sweep (floor 4)",
    ),
    "a module without a floor": (upward_imports, {"helpers.py": ""}, "helpers stands on no floor"),
    "a report that computes": (
        reports_that_see_more,
        {"report/full.py": "from gradcheck.compare import verdicts"},
        "report.full imports gradcheck.compare",
    ),
    "numpy in the command line": (early_numpy, {"cli.py": "import numpy as np"}, "cli imports numpy"),
    "numpy in a report": (early_numpy, {"report/full.py": "import numpy.linalg"}, "report.full imports numpy.linalg"),
    "numeric asks backward": (
        numeric_calling_backward,
        {"gradients/numeric/sweep.py": "def f(layer):\n    return layer.backward(1, 2)"},
        "gradients.numeric.sweep uses backward",
    ),
    "analytic asks numeric": (
        numeric_calling_backward,
        {"gradients/analytic.py": "import gradcheck.gradients.numeric.sweep"},
        "gradients.analytic uses gradcheck.gradients.numeric.sweep",
    ),
    "a layer without a test": (units_without_tests, {"layers/a.py": ""}, "gradcheck/layers/a.py has no test"),
    "a test without a loss": (
        units_without_tests,
        {"../tests/losses/test_b.py": ""},
        "tests/losses/test_b.py tests nothing",
    ),
    "a check without headings": (unexplained_checks, {"checks/a.py": '"""Title."""'}, "checks.a has the headings []"),
    "a code explained twice": (
        unexplained_checks,
        {"checks/a.py": f"{_EXPLAINED}CODES = ('GC100',)", "checks/b.py": f"{_EXPLAINED}CODES = ('GC100',)"},
        "GC100 is explained by 2 checks ['checks.a', 'checks.b']",
    ),
    "a code that nobody explains": (
        unexplained_checks,
        {"checks/a.py": _EXPLAINED},
        "GC100 is explained by 0 checks []",
    ),
    "a code that does not exist": (
        unexplained_checks,
        {"checks/a.py": f"{_EXPLAINED}CODES = ('GC999',)"},
        "GC999 is not in findings.CODES",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_house_is_seen(case: str, tmp_path: Path) -> None:
    rule, files, complaint = BROKEN[case]
    for name, text in files.items():
        path = tmp_path / "gradcheck" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "gradcheck").mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert complaint in rule(tmp_path)


def test_what_is_allowed_is_not_complained_about(tmp_path: Path) -> None:
    files = {
        "layers/a.py": "from gradcheck.layers._base import Layer\nfrom gradcheck.errors import ShapeError",
        "layers/_base.py": "",
        "errors.py": "",
        "spec/read.py": "from gradcheck.spec.case import Case\nfrom gradcheck.network import Network",
        "spec/case.py": "",
        "network.py": "from gradcheck.layers._base import Layer",
        "gradients/_moves.py": "",
        "gradients/numeric/sweep.py": "import gradcheck.gradients._moves, gradcheck.gradients.numeric.kinks",
        "gradients/numeric/kinks.py": "",
        "_cli_run.py": "from gradcheck import _cli_select\nfrom gradcheck.pipeline import run_spec",
        "_cli_select.py": "",
        "pipeline.py": "",
    }
    for name, text in files.items():
        path = tmp_path / "gradcheck" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert upward_imports(tmp_path) == []
