"""The benchmarks are scripts: their folder is where they import from."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
