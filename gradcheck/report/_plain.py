"""Values as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict


def plain(value: Any) -> Any:
    """Records, mappings, lists, numbers and words; "nan", "inf" and "-inf" for the numbers that JSON does not have."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Struct):
        return plain(asdict(value))
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # a number or an array of numpy, which this module does not import
        return plain(value.tolist())
    return value
