"""What goes to stdout, what to stderr, and what becomes of characters that a terminal does not have."""

from __future__ import annotations

import codecs
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TextIO

from gradcheck.errors import UsageError

#: How a stream encodes what it has no character for; see `_spell`.
SPELLED = "gradcheck-spelled"
_SPELLINGS = {
    "×": "x", "·": "*", "−": "-", "±": "+/-", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "→": "->", "…": "...",
    "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "′": "'", "√": "sqrt ", "Σ": "sum ", "∂": "d",
    "∞": "inf", "²": "^2", "³": "^3", "ᵀ": "^T", "⁻": "^-", "¹": "1", "ᵢ": "_i", "ⱼ": "_j", "ₖ": "_k", "ₙ": "_n",
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "eps", "λ": "lambda", "μ": "mu", "σ": "sigma",
    "∈": "in", "⌊": "floor(", "⌋": ")", "─": "-", "│": "|", "✅": "", "❌": "", "➖": "", "⚠": "", "\ufe0f": "",
}  # fmt: skip


def _spell(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: `W xᵀ` becomes `W x^T` where the encoding has no `ᵀ`; the rest is escaped."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    escaped = (_SPELLINGS.get(c, c.encode("ascii", "backslashreplace").decode()) for c in missing)
    return "".join(escaped), error.end


codecs.register_error(SPELLED, _spell)


def prepare_streams() -> None:
    """Let no character crash stdout or stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=SPELLED)


def one_blas_thread() -> None:
    """Let matrix products take one thread, unless the user has said how many, before numpy is loaded.

    The sum that a product is made of depends on how it is split; and workers share the cores among themselves.
    """
    for library in ("OPENBLAS", "OMP", "MKL", "VECLIB_MAXIMUM"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def say(text: str) -> None:
    """A line on stderr: what varies from run to run, and why nothing could be run."""
    with suppress(BrokenPipeError, AttributeError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def to_stdout(write: Callable[[TextIO], object]) -> None:
    """Write a document to stdout; a reader that has gone away (`| head`) is no error. UsageError where it fails."""
    if sys.stdout is None:
        return
    try:
        write(sys.stdout)
        sys.stdout.flush()
    except OSError as error:
        forget_stdout()
        if not isinstance(error, BrokenPipeError):
            raise UsageError(f"stdout cannot be written: {error.strerror}") from None


def forget_stdout() -> None:
    """Drop what is still buffered: it would be flushed at exit, and fail there with a traceback."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def stdout_kept_clean() -> Iterator[None]:
    """Send what user code prints, or what its subprocesses write, to stderr: stdout carries the document alone."""
    with redirect_stdout(sys.stderr), _descriptor_kept_clean():
        yield


@contextmanager
def commands_stopped(stopped: bool) -> Iterator[None]:
    """Let no line that user code prints be taken for a command of GitHub's, which begins with `::`.

    The word that ends the stop is drawn anew, so that nobody else can say it.
    """
    word = secrets.token_hex(16) if stopped else ""
    if word:
        say(f"::stop-commands::{word}")
    try:
        yield
    finally:
        if word:
            say(f"::{word}::")


@contextmanager
def _descriptor_kept_clean() -> Iterator[None]:
    try:
        out, err = sys.__stdout__.fileno(), sys.__stderr__.fileno()  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError):  # closed, or replaced by something without a descriptor
        yield
        return
    saved = os.dup(out)
    os.dup2(err, out)
    try:
        yield
    finally:
        os.dup2(saved, out)
        os.close(saved)


class Progress:
    """A bar on an interactive stderr, from the second second on. Elsewhere it stays silent."""

    WIDTH = 24
    PATIENCE = 1.0
    PAUSE = 0.1

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stderr
        self._clock = clock
        self._interactive = self._stream is not None and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._due = clock() + self.PATIENCE
        self._shown = 0
        self._begun: tuple[float, int] | None = None

    def __call__(self, done: int, total: int, what: str) -> None:
        """Show how far a run has got, how fast, and for how long still, unless it was shown a moment ago."""
        if not self._interactive:
            return
        if self._begun is None or done < self._begun[1]:
            self._begun = self._clock(), done
        if self._clock() < self._due:
            return
        self._due = self._clock() + self.PAUSE
        filled = self.WIDTH * done // max(total, 1)
        bar = f"[{'#' * filled}{'.' * (self.WIDTH - filled)}] {done:,} of {total:,} entries"
        self._draw("  ".join(filter(None, (bar, self._speed(done, total), what)))[: _columns(self._stream) - 1])

    def _speed(self, done: int, total: int) -> str:
        """`1,204/s, 12 s left`; empty where nothing was done yet."""
        assert self._begun is not None
        seconds, entries = self._clock() - self._begun[0], done - self._begun[1]
        if not entries or seconds <= 0:
            return ""
        rate = entries / seconds
        return f"{_digits(rate)}/s, {_duration((total - done) / rate)} left"

    def clear(self) -> None:
        """Remove the bar."""
        if self._shown:
            self._draw("")
            self._stream.write("\r")
            self._stream.flush()

    def _draw(self, line: str) -> None:
        self._stream.write("\r" + line.ljust(self._shown))
        self._stream.flush()
        self._shown = len(line)


def _digits(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1g}"


def _duration(seconds: float) -> str:
    """`12 s`, `3:05 min`, `2:10 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
