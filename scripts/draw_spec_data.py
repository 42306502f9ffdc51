"""Draw the data files of the specs that are not real data. Run once, the results are kept.

    specs/mlp_batch32_inputs.csv    5 × 32, one sample a column
    specs/mlp_batch32_targets.csv   3 × 32
    specs/mlp_128_64_10.npz         inputs (1000, 128), targets (1000, 10), float32

All numbers are normal. Those of the .npz are rounded to halves, which keeps it small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SPECS = Path(__file__).parents[1] / "specs"


def main() -> None:
    """Write the files."""
    rng = np.random.default_rng(20)
    for name, rows in (("inputs", 5), ("targets", 3)):
        numbers = np.round(rng.standard_normal((rows, 32)), 2) + 0.0  # -0.0 becomes 0.0
        np.savetxt(SPECS / f"mlp_batch32_{name}.csv", numbers, fmt="%.2f", delimiter=",")
    shapes = {"inputs": (1000, 128), "targets": (1000, 10)}
    arrays: dict[str, Any] = {
        key: (np.round(2 * rng.standard_normal(s)) / 2).astype(np.float32) for key, s in shapes.items()
    }
    np.savez_compressed(SPECS / "mlp_128_64_10.npz", **arrays)


if __name__ == "__main__":
    main()
