"""The installed command: every exit code, and what goes where."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import gradcheck.pipeline
from gradcheck.cli import main

GRADCHECK = Path(sys.executable).parent / "gradcheck"
Run = Callable[..., subprocess.CompletedProcess[str]]

TINY = """\
name: tiny
data:
  batch_size: 4
  inputs: {shape: [3], fill: normal}
  targets: {shape: [2], fill: normal}
network:
  - linear: {out_features: 2, name: head}
loss: mse
"""
TWICE = """\
from gradcheck import Layer

class Twice(Layer):
    def forward(self, x):
        return 2 * x, None

    def backward(self, dy, cache):
        return dy, {}
"""
NOISY = """\
import os, subprocess
from gradcheck import Layer

print("::error::from import")

class Noisy(Layer):
    def forward(self, x):
        print("from print")
        os.write(1, b"from a descriptor\\n")
        subprocess.run(["echo", "from a subprocess"], check=True)
        return 2 * x, None

    def backward(self, dy, cache):
        return 2 * dy, {}
"""
INTERRUPTING = """\
import os, signal
from gradcheck import Layer

class Interrupting(Layer):
    def forward(self, x):
        os.kill(os.getpid(), signal.SIGINT)
        return x, None

    def backward(self, dy, cache):
        return dy, {}
"""
PLUGINS = {"twice": TWICE, "noisy": NOISY, "interrupting": INTERRUPTING}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """tiny.yaml; for each plugin NAME.py and NAME.yaml, which uses it; bad.yaml; nothing.yaml; an empty folder."""
    specs = {name: TINY.replace("  - linear", f"  - {name}\n  - linear").replace("tiny", name) for name in PLUGINS}
    specs |= {"tiny": TINY, "bad": TINY.replace("linear:", "linaer:")}
    off = ("contract", "gradient", "reduction", "output_error", "per_sample", "accumulation")
    specs["nothing"] = TINY + f"checks: {{{', '.join(f'{name}: false' for name in off)}}}\n"
    for name, text in specs.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    for name, text in PLUGINS.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "GRADCHECK_DEBUG", "PYTHONIOENCODING", "PYTHONUNBUFFERED"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def run() -> Run:
    """Run the installed command."""

    def run_it(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [GRADCHECK, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **(env or {})},
            check=False,
            timeout=60,
        )

    return run_it


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process, where a process of its own would prove no more."""

    def call_it(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = main(arguments)
        written = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, written.out, written.err)

    return call_it


WORKERS = """\
import os, signal
from pathlib import Path
from gradcheck import Layer

class Dies(Layer):
    def forward(self, x):
        os._exit(0)

    def backward(self, dy, cache):
        return dy, {}

class Waits(Layer):
    def forward(self, x):
        if Path("begun").exists():
            signal.pause()
        return x, None

    def backward(self, dy, cache):
        Path("begun").touch()
        return dy, {}
"""


@pytest.fixture
def workers(folder: Path) -> tuple[str, ...]:
    """A plugin with layers that end their process or stop in it, and a spec for each -> options that load it."""
    (folder / "workers.py").write_text(WORKERS, encoding="utf-8")
    for name in ("dies", "waits"):
        text = TINY.replace("  - linear", f"  - {name}\n  - linear").replace("tiny", name)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return ("--plugin", "workers.py", "-j", "2")


def verdicts(document: str) -> list[tuple[str, str]]:
    return [(spec["path"], spec["verdict"]) for spec in json.loads(document)["specs"]]


def test_0_everything_agreed(run: Run) -> None:
    done = run("run", "tiny.yaml")
    assert done.returncode == 0
    assert "pass: Every entry agrees" in done.stdout
    assert "20 entries checked: 20 pass, 0 fail, 0 inconclusive, 0 kink. Seed" in done.stdout
    assert re.search(r"^gradcheck: took \d+\.\d\d s$", done.stderr, re.MULTILINE)


def test_1_a_finding(call: Run) -> None:
    done = call("run", "twice.yaml", "--plugin", "twice.py")
    assert done.returncode == 1
    assert "layer twice_1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "bad.yaml"], "bad.yaml:7:5: "),
        (["run", "tiny.yaml", "--plugin", "nowhere.py"], "nowhere.py"),
        (["run", "tiny.yaml", "--entry", "hat.weight[0,0]"], "hat.weight"),
        (["run", "--plugin", "twice.py", "twice.yaml", "bad.yaml"], "Guilty: layer twice_1"),
        (["validate", "tiny.yaml", "bad.yaml"], "bad.yaml:7:5: "),
    ],
)
def test_2_could_not_run_as_asked(arguments: list[str], sentence: str, call: Run) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_3_a_bug_asks_to_be_reported(call: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*arguments: object) -> None:
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr(gradcheck.pipeline, "open_spec", crash)
    done = call("run", "tiny.yaml")
    assert done.returncode == 3
    assert done.stdout == ""
    assert "ZeroDivisionError: deep inside" in done.stderr
    assert "bug in gradcheck" in done.stderr
    assert "Traceback" not in done.stderr
    monkeypatch.setenv("GRADCHECK_DEBUG", "1")
    assert "Traceback" in call("run", "tiny.yaml").stderr


@pytest.mark.parametrize("argument", ["empty", "*.yml", "nothing.yaml"])
def test_5_nothing_was_selected(argument: str, call: Run) -> None:
    done = call("run", argument, "--format", "json")
    assert done.returncode == 5
    assert done.stderr
    assert not done.stdout or json.loads(done.stdout)["verdict"] == "refused"


def test_130_what_was_finished_is_kept(run: Run) -> None:
    plugins = ("--plugin", "interrupting.py")
    done = run("run", "tiny.yaml", "interrupting.yaml", *plugins, "--format", "json", "--report", "concise=c.txt")
    assert done.returncode == 130
    assert verdicts(done.stdout) == [("tiny.yaml", "pass")]
    assert Path("c.txt").read_text(encoding="utf-8").startswith("1 spec: 1 pass.")
    assert "gradcheck: stopped after 1 of 2 specs\ngradcheck: interrupted\n" in done.stderr


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_machine_document_is_whole_and_alone_and_in_the_order_of_the_command(jobs: str, run: Run, call: Run) -> None:
    specs = ("noisy.yaml", "bad.yaml", "tiny.yaml")
    do = run if jobs == "1" else call
    done = do("run", *specs, "--plugin", "noisy.py", "--format", "json", "--jobs", jobs)
    assert done.returncode == 2
    assert verdicts(done.stdout) == [("noisy.yaml", "pass"), ("bad.yaml", "refused"), ("tiny.yaml", "pass")]
    for words in ("::error::from import", "from print", "from a descriptor", "from a subprocess", "bad.yaml:7:5: "):
        assert words in done.stderr


def test_the_same_command_gives_the_same_bytes_with_any_number_of_workers(call: Run) -> None:
    written = []
    for jobs in ("1", "2"):
        done = call(
            "run", "twice.yaml", "--plugin", "twice.py", "--jobs", jobs,
            "--report", "json=r.json", "--dump", "g.npz",
        )  # fmt: skip
        assert done.returncode == 1
        written.append((done.stdout, Path("r.json").read_bytes(), Path("g.npz").read_bytes()))
    assert written[0] == written[1]


def test_a_worker_that_dies_is_a_finding(workers: tuple[str, ...], call: Run) -> None:
    """That its death costs no other spec anything is shown in tests/workers."""
    done = call("run", "dies.yaml", *workers, "--format", "concise")
    assert done.returncode == 1
    assert "dies.yaml: error GC902 worker-died: dies_1" in done.stdout
    assert "1 spec: 1 fail." in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(signal, "pause"), reason="Ctrl-C is sent to processes as POSIX has it")
def test_130_with_workers(workers: tuple[str, ...]) -> None:
    command = [GRADCHECK, "run", "tiny.yaml", "waits.yaml", *workers, "--format", "json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 60
    while not Path("begun").exists() and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(2)  # until the other spec is finished, too
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert verdicts(stdout) == [("tiny.yaml", "pass")]
    assert "gradcheck: stopped after 1 of 2 specs\ngradcheck: interrupted\n" in stderr
    assert "Traceback" not in stderr


def test_time_that_runs_out_is_an_error(call: Run) -> None:
    done = call("run", "tiny.yaml", "--max-time", "1e-9", "--format", "json")
    assert done.returncode == 1
    (spec,) = json.loads(done.stdout)["specs"]
    assert [(f["code"], f["severity"]) for f in spec["findings"]] == [("GC903", "error")]
    assert call("run", "tiny.yaml", "--max-time", "1e9").stdout == call("run", "tiny.yaml").stdout


def test_memory_that_holds_no_copy_is_refused_and_a_little_is_enough(call: Run) -> None:
    done = call("run", "tiny.yaml", "--max-memory", "1e-9")
    assert done.returncode == 2
    assert "tiny.yaml: the network with one entry of " in done.stderr
    assert "and --max-memory allows 1e-09 MB; allow more" in done.stderr
    assert verdicts(call("run", "tiny.yaml", "--max-memory", "0.01", "--format", "json").stdout) == [
        ("tiny.yaml", "pass")
    ]


def test_products_take_one_thread_unless_the_user_says_otherwise(
    folder: Path, run: Run, call: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = "import os, sys\nprint('threads', os.environ['OPENBLAS_NUM_THREADS'])\n" + TWICE
    (folder / "threads.py").write_text(plugin, encoding="utf-8")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert "threads 1\n" in run("list", "losses", "--plugin", "threads.py").stdout
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert "threads 2\n" in call("list", "losses", "--plugin", "threads.py").stdout


def test_reports_and_dump(call: Run) -> None:
    done = call("run", "tiny.yaml", "--report", "json=r.json", "--report", "full=r.txt", "--dump", "g.npz")
    assert done.returncode == 0
    assert Path("r.txt").read_text(encoding="utf-8") == done.stdout
    assert verdicts(Path("r.json").read_text(encoding="utf-8")) == [("tiny.yaml", "pass")]
    with np.load("g.npz", allow_pickle=False) as arrays:
        assert {"head.weight/analytic", "head.weight/numeric", "head.weight/bar"} <= set(arrays)
        assert arrays["head.weight/analytic"].shape == (3, 2)
        difference = arrays["head.weight/analytic"] - arrays["head.weight/numeric"]
        assert (abs(difference) <= arrays["head.weight/bar"]).all()


def test_options_reach_the_run(call: Run) -> None:
    done = call(
        "run", "tiny.yaml", "--format", "json", "--seed", "123", "--method", "central", "--step", "1e-4",
        "--entry", "head.weight[2, 1]", "--entry", "head.bias[0]",
    )  # fmt: skip
    spec = json.loads(done.stdout)["specs"][0]
    assert done.returncode == 0
    assert spec["seed"] == 123
    checked = {row["name"]: (row["checked"], row["method"]) for row in spec["parameters"] if row["checked"]}
    assert checked == {"head.weight": (1, "central"), "head.bias": (1, "central")}
    assert spec["parameters"][0]["worst"]["index"] == [2, 1]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 1, ""),
        (("--ignore", "GC1"), 0, "--select and --ignore left out"),
        (("--select", "GC2,per-sample-sum"), 0, "--select and --ignore left out"),
        (("--select", "GC1"), 1, ""),
        (("--fail-on", "never"), 0, ""),
        (("--rtol", "10"), 0, ""),
    ],
)
def test_what_counts_as_a_failure(options: tuple[str, ...], code: int, said: str, call: Run) -> None:
    done = call("run", "twice.yaml", "--plugin", "twice.py", *options)
    assert done.returncode == code
    assert said in done.stderr


def test_standard_input(call: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TINY.encode())))
    done = call("run", "-", "--format", "json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["specs"][0]["path"] == "-"


def test_a_spec_by_itself_imports_no_code(call: Run) -> None:
    assert call("run", "twice.yaml").returncode == 2
    assert call("validate", "twice.yaml").returncode == 0


def test_a_terminal_without_the_characters(run: Run, call: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = ("run", "twice.yaml", "--plugin", "twice.py")
    there = run(*twice, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    for encoding, arguments in (("ascii", twice), ("cp1252", twice), ("ascii", ("list", "layers"))):
        for name, descriptor in (("stdout", 1), ("stderr", 2)):
            monkeypatch.setattr(sys, name, open(descriptor, "w", encoding=encoding, closefd=False))  # noqa: SIM115
        done = call(*arguments)
        assert done.returncode in (0, 1)
        assert "Traceback" not in done.stderr
        assert "─" not in done.stdout
        assert arguments[0] == "list" or encoding != "ascii" or done.stdout == there.stdout


def test_a_reader_that_has_gone_away_is_no_error() -> None:
    for arguments, code in ((["run", "tiny.yaml"], 0), (["--help"], 0), (["schema"], 0)):
        process = subprocess.Popen([GRADCHECK, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        error = process.stderr.read()
        process.stderr.close()
        assert process.wait(60) == code
        assert "Broken" not in error
        assert "Traceback" not in error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, a device that is always full, here")
def test_a_full_disk_is_said() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [GRADCHECK, "validate", "tiny.yaml"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "gradcheck: stdout cannot be written: No space left on device\n"


LIGHT = [
    (["--help"], 0), (["--version"], 0), (["run", "--help"], 0), (["run"], 2), (["rum"], 2), (["run", "gone.yaml"], 2),
    (["run", "empty"], 5), (["run", "tiny.yaml", "--step", "0"], 2), (["run", "tiny.yaml", "-j", "0"], 2),
    (["run", "tiny.yaml", "--max-time", "x"], 2), (["run", "tiny.yaml", "--executor", "here"], 2),
    (["explain", "GC1"], 2), (["list", "cheques"], 2),
]  # fmt: skip
ONE_BY_ONE = """\
import json, sys
from gradcheck.cli import main
for arguments, code in json.loads(sys.argv[1]):
    assert main(arguments) == code, f"gradcheck {' '.join(arguments)} does not end with {code}"
    loaded = {"numpy", "rich", "ruamel"} & set(sys.modules)
    assert not loaded, f"gradcheck {' '.join(arguments)} imports {loaded}"
"""


def test_help_and_usage_errors_are_light() -> None:
    """None of them in turn brings what is heavy into a fresh interpreter."""
    command = [sys.executable, "-c", ONE_BY_ONE, json.dumps(LIGHT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_run_imports_what_its_spec_needs(folder: Path, run: Run) -> None:
    telling = "import atexit, sys\natexit.register(lambda: print('\\nloaded', *sys.modules, file=sys.stderr))\n"
    (folder / "telling.py").write_text(telling + TWICE, encoding="utf-8")
    done = run("run", "tiny.yaml", "--plugin", "telling.py", "--format", "json")
    loaded = set(re.search(r"^loaded (.*)$", done.stderr, re.MULTILINE)[1].split())  # type: ignore[index]
    heavy = {"rich", "scipy", "multiprocessing", "concurrent.futures", "logging", "distributed", "torch"}
    others = {"layers.conv2d", "layers.softmax", "losses.cross_entropy", "report.full", "workers.spread", "stepping"}
    assert {"numpy", "gradcheck.layers.linear", "gradcheck.losses.mse"} <= loaded
    assert loaded.isdisjoint(heavy | {f"gradcheck.{name}" for name in others})


def test_completion_knows_the_commands(run: Run) -> None:
    assert "_GRADCHECK_COMPLETE" in run(env={"_GRADCHECK_COMPLETE": "bash_source"}).stdout
    words = {"_GRADCHECK_COMPLETE": "bash_complete", "COMP_WORDS": "gradcheck va", "COMP_CWORD": "1"}
    assert run(env=words).stdout == "plain,validate\n"


def test_validate(call: Run) -> None:
    done = call("validate", "tiny.yaml", "twice.yaml")
    assert done.returncode == 0
    note, last = done.stdout.splitlines()
    assert note.startswith("twice.yaml:7:5: `twice` is not a built-in layer; it may come from a plugin")
    assert last == "2 specs read, 0 refused."
    assert call("validate", "bad.yaml", "tiny.yaml").stdout.endswith("\n2 specs read, 1 refused.\n")


def test_reports_of_every_format_in_one_run_are_the_same_bytes_again(call: Run, folder: Path) -> None:
    formats = ("junit", "sarif", "github", "gitlab", "markdown", "json", "concise", "full")
    options = [option for fmt in formats for option in ("--report", f"{fmt}=report.{fmt}")]
    written = []
    for _ in range(2):
        assert call("run", "twice.yaml", "tiny.yaml", "--plugin", "twice.py", *options).returncode == 1
        written.append({fmt: (folder / f"report.{fmt}").read_bytes() for fmt in formats})
    assert written[0] == written[1]
    assert all(written[0].values())
    (rule,) = json.loads(written[0]["sarif"])["runs"][0]["tool"]["driver"]["rules"]
    assert "## How to repair" in rule["help"]["text"]
    assert b"file=twice.py,line=7," in written[0]["github"]


def test_lines_of_user_code_are_no_commands_of_github(call: Run) -> None:
    result = call("run", "noisy.yaml", "--plugin", "noisy.py", "--format", "github")
    lines = result.stderr.splitlines()
    stop, end = (lines.index(next(line for line in lines if line.startswith(word))) for word in ("::stop-c", "::error"))
    word = lines[stop].removeprefix("::stop-commands::")
    assert len(word) == 32
    assert stop < end < lines.index(f"::{word}::")
    assert "::" not in result.stdout


def test_only_failures_leaves_out_what_passed(call: Run) -> None:
    result = call("run", "twice.yaml", "tiny.yaml", "--plugin", "twice.py", "--only-failures")
    assert result.returncode == 1
    assert "tiny" not in result.stdout
    assert "2 specs: 1 pass, 1 fail" in result.stdout


@pytest.mark.parametrize(("variable", "root", "path"), [
    ("GITHUB_WORKSPACE", "..", "{here}/twice.py"), ("CI_PROJECT_DIR", ".", "twice.py"),
    ("GITHUB_WORKSPACE", "empty", "twice.py"),
])  # fmt: skip
def test_what_annotates_sources_names_them_from_the_root_of_the_repository(
    variable: str, root: str, path: str, call: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GITHUB_WORKSPACE", "CI_PROJECT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(folder / root))
    text = call("run", "twice.yaml", "--plugin", "twice.py", "--format", "github").stdout
    assert f"file={path.format(here=folder.name)}," in text
