"""Which smooth piece every unit of a network is on: of the layers and terms of the loss that say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.network import Network, Node, Term

Array = NDArray[Any]


def pieces(part: Node | Term, arrays: Mapping[str, Array]) -> Array | None:
    """The part's `branches` at the given arrays, activations included; None where it does not say."""
    if isinstance(part, Term):
        return part.branches([arrays[name] for name in part.predictions], arrays)
    return part.branches([arrays[name] for name in part.inputs], part.keywords(arrays))


def all_pieces(network: Network, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """By name of the layer or term, without those that do not say."""
    parts: tuple[Node | Term, ...] = (*network.nodes, *network.terms)
    found = {part.name: pieces(part, arrays) for part in parts}
    return {name: branches for name, branches in found.items() if branches is not None}


def same_pieces(some: Mapping[str, Array], others: Mapping[str, Array]) -> bool:
    """Whether all units are on the same pieces."""
    return all(np.array_equal(some[name], others[name]) for name in some)
