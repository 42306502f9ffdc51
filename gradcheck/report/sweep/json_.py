"""The machine-readable sweep, `schema_version` 1: every point, in a fixed order, and no bare NaN.

Non-finite numbers are the strings "nan", "inf" and "-inf"; what could not be measured is null, with the reason beside.
"""

from __future__ import annotations

import json
from typing import Any, TextIO

from msgspec.structs import asdict

from gradcheck.findings import SCHEMA_VERSION
from gradcheck.report._plain import plain
from gradcheck.step_sweep import StepSweep


def write(sweep: StepSweep, version: str, stream: TextIO) -> None:
    """Write one JSON document and a newline."""
    json.dump(document(sweep, version), stream, indent=2, allow_nan=False)
    stream.write("\n")


def document(sweep: StepSweep, version: str) -> dict[str, Any]:
    """The sweep as plain JSON values."""
    fields = asdict(sweep)
    plateau = fields.pop("plateau")
    found: dict[str, Any] = plain(
        {
            "schema_version": SCHEMA_VERSION,
            "tool": {"name": "gradcheck", "version": version},
            **{name: fields.pop(name) for name in ("path", "name", "seed")},
            "points": fields.pop("points"),
            **fields,
            "plateau": {"shortest": plateau[0], "longest": plateau[1]} if plateau else None,
        }
    )
    return found
