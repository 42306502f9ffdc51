"""Convert scikit-learn's handwritten digits to specs/digits.npz. Needs scikit-learn; run once, the result is kept.

The first 500 of 1797 images of the UCI "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998,
CC BY 4.0), as they come.

    images  (500, 1, 8, 8)  float32, grey levels 0, 1/16, ..., 1
    labels  (500,)          int64, 0 to 9
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SAMPLES = 500
DESTINATION = Path(__file__).parents[1] / "specs" / "digits.npz"


def convert() -> dict[str, Any]:
    """The arrays of the file, by key."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images[:SAMPLES, None] / 16
    return {"images": images.astype(np.float32), "labels": digits.target[:SAMPLES].astype(np.int64)}


if __name__ == "__main__":
    np.savez_compressed(DESTINATION, **convert())
    print(f"{DESTINATION}: {DESTINATION.stat().st_size} bytes")
