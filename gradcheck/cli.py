"""Options in, report out, exit code.

Help, version and usage errors import no numpy: what is heavy is imported where it is used.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

from gradcheck import __version__, _cli_sweep
from gradcheck._cli_baseline import Baseline
from gradcheck._cli_init import CI, init
from gradcheck._cli_options import (
    METHODS,
    codes,
    directions,
    entry,
    executor,
    formats,
    jobs,
    number,
    output_file,
    report_file,
    seed,
)
from gradcheck._cli_run import Request, run, stopped_by
from gradcheck._cli_select import (
    EXIT_NOTHING,
    EXIT_OK,
    EXIT_REFUSED,
    FAIL_ON,
    Selection,
)
from gradcheck._cli_settings import SHARED, Setting, settings, shown
from gradcheck._cli_sources import STDIN, read, specs_of
from gradcheck._cli_streams import forget_stdout, one_blas_thread, prepare_streams, say, to_stdout
from gradcheck.errors import GradcheckError, NothingSelected, SpecError, UsageError
from gradcheck.findings import CODES
from gradcheck.silencing import code_prefix

_COMPLETE = "_GRADCHECK_COMPLETE"
_SETTINGS = "gradcheck.settings"
_EXIT_CODES = """\b
Exit codes:
  0    everything selected was checked and agreed
  1    an error was found, or nothing could be concluded about a row
  2    could not run as asked: a bad option, spec, plugin or data
  3    a bug in gradcheck itself
  5    nothing was selected: no spec, no check, nothing to check
  130  interrupted; what was finished is kept"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line -> exit code. Whatever happens ends in one of the codes above."""
    prepare_streams()
    one_blas_thread()
    try:
        return _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.ClickException as error:
        error.show(sys.stderr)
        return EXIT_REFUSED
    except NothingSelected as error:
        say(f"gradcheck: {error}")
        return EXIT_NOTHING
    except GradcheckError as error:
        say(f"gradcheck: {error}")
        return EXIT_REFUSED
    except BrokenPipeError:  # from --help; documents see to it themselves
        forget_stdout()
        return EXIT_OK
    except BaseException as error:
        return stopped_by(error)


def _dispatch(arguments: list[str]) -> int:
    if instruction := os.environ.get(_COMPLETE):
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "gradcheck", _COMPLETE, instruction)
    with cli.make_context("gradcheck", arguments) as context:
        result: int | None = cli.invoke(context)
        return result or EXIT_OK


class _Commands(click.Group):
    """A group that asks "did you mean" about commands, as click does about options."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
        if close and close[0] != args[0]:
            ctx.fail(f"There is no command {args[0]!r}; did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)


class _Configured(click.Command):
    """A command whose options may be set in the environment and in pyproject.toml."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        found: dict[str, Setting] = {}
        if not ({"-h", "--help"} & set(args) or extra.get("resilient_parsing")):
            found = settings(_run, Path.cwd(), os.environ)
        if self is not _run:
            found = {name: found[name] for name in SHARED if name in found}
        extra["default_map"] = {name: setting.value for name, setting in found.items()}
        context = super().make_context(info_name, args, parent, **extra)
        context.meta[_SETTINGS] = found
        return context


@click.group(cls=_Commands, epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gradcheck", message="%(prog)s %(version)s")
def cli() -> None:
    """Prove or refute that a hand-written backward pass is the derivative of its forward pass.

    A YAML spec describes a network and a loss; `gradcheck run SPEC` checks it.
    """


_plugins = click.option(
    "--plugin", "plugins", multiple=True, type=click.Path(), metavar="FILE.py|MODULE",
    help="Load layers and losses from here. Repeatable. A spec never loads code by itself.",
)  # fmt: skip
_specs = click.argument("specs", nargs=-1, required=True, type=click.Path(), metavar="SPEC...")


@cli.command("run", cls=_Configured, epilog=_EXIT_CODES)
@click.argument("specs", nargs=-1, type=click.Path(), metavar="SPEC...")
@_plugins
@click.option("--format", "fmt", type=click.Choice(list(formats())), default="full", show_default=True,
              help="What stdout carries.")  # fmt: skip
@click.option("--report", "reports", type=report_file, multiple=True, metavar="FMT=PATH",
              help="Write a report to a file, too. Repeatable.")  # fmt: skip
@click.option("--select", type=codes, multiple=True, metavar="CODES",
              help="Count only findings with these codes, such as GC1,GC201 or dropped-gradient.")  # fmt: skip
@click.option("--ignore", type=codes, multiple=True, metavar="CODES",
              help="Leave out findings with these codes. A longer one in --select wins.")  # fmt: skip
@click.option("--method", type=click.Choice(METHODS), help="How the numeric gradient is taken.  [default: the spec's]")
@click.option("--step", type=number("the step", zero=False), metavar="H",
              help="Step of the differences.  [default: from their order and the scale of the values]")  # fmt: skip
@click.option("--rtol", type=number("rtol", zero=True), metavar="R",
              help="Let entries pass that differ by less than R |numeric|.  [default: 0]")  # fmt: skip
@click.option("--seed", type=seed, metavar="N", help="Draw data and parameters with this seed.  [default: the spec's]")
@click.option("--directions", type=directions, metavar="K",
              help="Probe every tensor along K random directions, whatever its size, and name wrong entries by "
              "bisection; 0 sweeps every entry; auto does so unless that takes too long, and says which.  "
              "[default: the spec's, or auto]")  # fmt: skip
@click.option("--entry", "entries", type=entry, multiple=True, metavar="NAME[I,J]",
              help="Check only this entry, such as 'head.weight[3,5]', whatever --directions says. "
              "Repeatable.")  # fmt: skip
@click.option("--probe", is_flag=True, default=None,
              help="Check every layer and loss alone, too, with inputs that are drawn to expose mistakes: both signs, "
              "zeros and ties, |x| = 50, repeated indices, other sizes.")  # fmt: skip
@click.option("--dump", type=output_file, metavar="FILE.npz",
              help="Save the analytic and numeric gradients and their error bars. One spec only.")  # fmt: skip
@click.option("-j", "--jobs", type=jobs, metavar="N",
              help="Spread specs and tensors over N processes; auto means one a core. The results are the same, byte "
              "for byte. A short run stays in one process, unless there are plugins: a worker that their code ends is "
              "replaced and what ended it is named.  [default: 1]")  # fmt: skip
@click.option("--executor", type=executor, metavar="dask://HOST:PORT",
              help="Spread over the workers of this Dask scheduler; --jobs then says to how many at once.")  # fmt: skip
@click.option("--max-memory", type=number("the memory", zero=False), metavar="MB",
              help="Evaluate only as many perturbed copies of the network at once as fit in so many megabytes. "
              "[default: the spec's, or 1000]")  # fmt: skip
@click.option("--max-time", type=number("the time", zero=False), metavar="SECONDS",
              help="Stop after so long and say what was not reached, which is an error (GC903).")  # fmt: skip
@click.option("--fail-on", type=click.Choice(FAIL_ON), default="error", show_default=True,
              help="What makes the exit code 1.")  # fmt: skip
@click.option("--only-failures", is_flag=True, help="Let people read only of what did not pass, worst first.")
@click.option("--baseline", type=Path, metavar="FILE.json",
              help="Let findings that are in this file not count. A plain run never writes it.")  # fmt: skip
@click.option("--baseline-update", is_flag=True, help="Add what this run finds to the baseline.")
@click.option("--baseline-prune", is_flag=True, help="Take out of the baseline what this run no longer finds.")
@click.option("--show-settings", is_flag=True,
              help="Print every setting, its value, and where that comes from; run nothing.")  # fmt: skip
@click.pass_context
def _run(
    context: click.Context, /, specs: tuple[str, ...], fmt: str, reports: tuple[tuple[str, Path], ...], **options: Any
) -> int:
    """Check every SPEC: backward against the differences of forward, and the reductions.

    SPEC is a file, a folder (the *.yaml and *.yml directly in it), a pattern such as 'specs/**/*.yaml', or - for
    standard input.

    Every option can also be set in the environment (--fail-on as GRADCHECK_FAIL_ON) and, in the nearest pyproject.toml,
    in the table [tool.gradcheck] (fail-on = "never"). The command line wins over the environment, and that over the
    file.
    """
    if options["show_settings"]:
        _print("\n".join(shown(context.command, context, context.meta[_SETTINGS])))
        return EXIT_OK
    if not specs:
        raise click.UsageError("Missing argument 'SPEC...'.")
    paths = tuple(specs_of(specs))
    dump = options["dump"]
    if dump and len(paths) > 1:
        raise UsageError(f"--dump takes one spec, since names repeat from spec to spec; {len(paths)} are given")
    baseline = _baseline(options)
    written = [baseline.path] if baseline and (baseline.update or baseline.prune) else []
    _require_distinct(paths, [path for _, path in reports] + [dump] * bool(dump) + written)
    return run(
        Request(
            paths=paths,
            plugins=options["plugins"],
            overrides={
                name: options[name]
                for name in ("seed", "method", "step", "rtol", "directions", "entries", "max_memory", "probe")
            },
            selection=Selection(*(tuple(code for group in options[o] for code in group) for o in ("select", "ignore"))),
            fmt=fmt,
            reports=reports,
            dump=dump,
            fail_on=options["fail_on"],
            jobs=options["jobs"],
            executor=options["executor"],
            max_time=options["max_time"],
            baseline=baseline,
            only_failures=options["only_failures"],
        )
    )


def _baseline(options: dict[str, Any]) -> Baseline | None:
    path, update, prune = (options[name] for name in ("baseline", "baseline_update", "baseline_prune"))
    if path is None:
        if update or prune:
            raise UsageError("which baseline? Name it with --baseline FILE.json")
        return None
    return Baseline.read(output_file(str(path)) if update else path, update, prune)


def _require_distinct(specs: Sequence[str], outputs: Sequence[Path]) -> None:
    """No output may overwrite a spec or another output."""
    taken = {Path(path).resolve(): "the spec" for path in specs if path != STDIN}
    for path in outputs:
        if path.resolve() in taken:
            raise UsageError(f"{path} would overwrite {taken[path.resolve()]} {path}; choose another name")
        taken[path.resolve()] = "the output"


@cli.command("sweep", cls=_Configured, epilog=_cli_sweep.EXIT_CODES)
@click.argument("spec", type=click.Path(), metavar="SPEC")
@click.option("--entry", "entries", type=entry, multiple=True, metavar="NAME[I,J]",
              help="The entry, such as 'head.weight[3,5]', counting from 0. Required.")  # fmt: skip
@_plugins
@click.option("--method", type=click.Choice([m for m in METHODS if m != "auto"]), default="central", show_default=True,
              help="The scheme whose steps are swept.")  # fmt: skip
@click.option("--seed", type=seed, metavar="N", help="Draw data and parameters with this seed.  [default: the spec's]")
@click.option("--format", "fmt", type=click.Choice(list(_cli_sweep.formats())), default="full", show_default=True,
              help="What stdout carries: a picture with its explanation, or every point.")  # fmt: skip
def _sweep(spec: str, plugins: tuple[str, ...], method: str, fmt: str, **overrides: Any) -> int:
    """Draw how the error of one numeric derivative depends on the step.

    A long step truncates, a short one drowns in rounding; between them lies the plateau. SPEC is one file, or - for
    standard input. The entry's derivative is taken at a hundred steps; the slopes on both sides of the plateau, its
    extent, and the step to choose are said in words below the picture. This explains an error bar; whether backward is
    right is what `gradcheck run` says.
    """
    if len(overrides["entries"]) != 1:
        count = len(overrides["entries"]) or "none"
        raise click.UsageError(f"Sweep takes one --entry, such as --entry 'head.weight[3,5]'; got {count}.")
    return _cli_sweep.sweep(_cli_sweep.Request(spec, plugins, overrides, method, fmt))


@cli.command("validate", epilog=_EXIT_CODES)
@_specs
def _validate(specs: tuple[str, ...]) -> int:
    """Read every SPEC, say all that is wrong with it, run nothing.

    No code of yours is imported; a layer that gradcheck does not know may come from a plugin.
    """
    from gradcheck.catalogue import Catalogue
    from gradcheck.spec.read import validate

    refused = 0
    paths = specs_of(specs)
    for path in paths:
        try:
            problems, notes = validate(path, read(path), Catalogue())
        except SpecError as error:
            problems, notes = error.problems, []
        refused += bool(problems)
        for line in [*map(str, problems), *notes]:
            _print(line)
    noun = "spec" if len(paths) == 1 else "specs"
    _print(f"{len(paths)} {noun} read, {refused} refused.")
    return EXIT_REFUSED if refused else EXIT_OK


@cli.command("schema")
def _schema() -> None:
    """Print the JSON Schema (draft-07) of specs, for editors."""
    from gradcheck.spec.schema import json_schema

    _print(json.dumps(json_schema(), indent=2))


@cli.command("list", cls=_Configured)
@click.argument("what", type=click.Choice(["layers", "losses", "checks"]))
@_plugins
def _list(what: str, plugins: tuple[str, ...]) -> None:
    """Print the layers, losses or checks with their formulas and options."""
    from gradcheck import _cli_texts
    from gradcheck.catalogue import Catalogue

    _print(_cli_texts.list_checks() if what == "checks" else _cli_texts.list_units(Catalogue(plugins), what))


def _codes(context: click.Context, argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    words = {**CODES, **{name: code for code, name in CODES.items()}}
    return [CompletionItem(word, help=other) for word, other in words.items() if word.startswith(incomplete)]


@cli.command("explain")
@click.argument("code", shell_complete=_codes)
def _explain(code: str) -> None:
    """Print what a finding means, its causes, and how to repair it. CODE is GC108 or dropped-gradient."""
    known = code_prefix(code)
    if known not in CODES:
        matching = ", ".join(c for c in CODES if c.startswith(known))
        raise UsageError(f"{code} is the beginning of several codes; explain takes one of {matching}")
    from gradcheck import _cli_examples, _cli_texts

    silence = (
        "In the spec that has it, with a reason:\n"
        f'    ignore: [{{code: {known}, at: LAYER, reason: "..."}}]\n'
        "Old ones all at once: gradcheck run SPEC... --baseline FILE.json --baseline-update"
    )
    shown = _cli_examples.example(known)
    _print("\n\n".join([_cli_texts.explain(known).rstrip(), silence, *([f"Example:\n{shown}"] if shown else [])]))


@cli.command("init")
@click.argument("folder", type=Path, default=Path(), metavar="[FOLDER]")
@click.option("--ci", "systems", type=click.Choice([*CI, "none"]), multiple=True,
              help="Write only what this CI system needs. Repeatable.  [default: all]")  # fmt: skip
def _init(folder: Path, systems: tuple[str, ...]) -> None:
    """Write what it takes to begin with, into FOLDER or here: a layer, a commented spec, a test, and files for CI.

    Files that are there already are kept as they are.
    """
    for line in init(folder, [system for system in systems or CI if system != "none"]):
        _print(line)


@cli.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def _completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash   eval "$(gradcheck completion bash)"          in ~/.bashrc
    zsh    eval "$(gradcheck completion zsh)"           in ~/.zshrc
    fish   gradcheck completion fish > ~/.config/fish/completions/gradcheck.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    _print(kind(cli, {}, "gradcheck", _COMPLETE).source().rstrip())


def _print(text: str) -> None:
    to_stdout(lambda stream: stream.write(text + "\n"))
