"""The user's own weights, held against those that the layers draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.spec._files import FileProblem, load_all, locate
from gradcheck.spec._problems import Place, Problems, did_you_mean, show


class Weights:
    """The arrays of the user's file by full name; `place` is where the file is named."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], file: str, place: Place, problems: Problems) -> None:
        self._arrays = dict(arrays)
        self._file = file
        self._place = place
        self._problems = problems
        self._claimed: set[str] = set()

    def take(self, name: str, shape: tuple[int, ...]) -> NDArray[Any] | None:
        """The array for a parameter of that shape; None, and a problem, where it is missing or does not fit."""
        self._claimed.add(name)
        array = self._arrays.get(name)
        if array is None:
            close = did_you_mean(name, self._arrays.keys() - self._claimed)
            self._problems.add(self._place, f"{show(self._file)} has no array for the parameter `{name}`{close}")
        elif array.shape != shape:
            message = f"{show(self._file)} has `{name}` with the shape {array.shape}, the network has it with {shape}"
            self._problems.add(self._place, message)
        elif not np.isfinite(array).all():
            index = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
            message = f"{show(self._file)} has {show(array[index].item())} in `{name}` at {list(index)}"
            self._problems.add(self._place, f"{message}; every number must be finite")
        else:
            return array.astype(np.float64)
        return None

    def require_equal(self, name: str, owner: str, transposed: bool) -> None:
        """What the file has of a parameter that is tied to another must be that one: then it is the same network."""
        self._claimed.add(name)
        if name not in self._arrays or owner not in self._arrays:
            return
        array = self._arrays[owner]
        if not np.array_equal(self._arrays[name], array.T if transposed else array):
            message = f"{show(self._file)} has a `{name}` of its own, but the spec ties it to `{owner}`"
            self._problems.add(self._place, f"{message}; leave one of the two out")

    def require_all_taken(self, unknown: set[str]) -> None:
        """What no layer has is a problem, except where the layer itself is one of the `unknown`."""
        for name in sorted(self._arrays.keys() - self._claimed):
            if name.rpartition(".")[0] not in unknown:
                self._problems.add(
                    self._place, f"{show(self._file)} has the array `{name}`, but the network has no such parameter"
                )


def read_weights(place: Place, file: str, spec_path: str, problems: Problems) -> Weights | None:
    """The weights of a file; None, and a problem, where they cannot be read."""
    try:
        return Weights(load_all(locate(spec_path, file), file), file, place, problems)
    except FileProblem as problem:
        problems.add(place, str(problem))
        return None
