"""For every query, a mean of all values, weighted by how well their keys fit it (Vaswani et al. 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gradcheck.errors import ShapeError
from gradcheck.layers._attention import attend, attend_vjp, require_attention, require_mask
from gradcheck.layers._base import Array, Layer, Shape


@dataclass(frozen=True)
class ScaledDotProductAttention(Layer):
    """For every query, a mean of all values, weighted by how well their keys fit it (Vaswani et al. 2017).

    forward     y  = P v,  P = softmax(S)       q (N, ..., L, E)  k (N, ..., S, E)  v (N, ..., S, Ev)  y (N, ..., L, Ev)
                S  = s q kᵀ + B                 S, P (N, ..., L, S)   B the mask where it is real, else 0

    backward    dS = P (dP − Σ dP P)            dP = dy vᵀ (N, ..., L, S)       Σ over the keys
                dq = s dS k                     dq (N, ..., L, E)
                dk = s dSᵀ q                    dk (N, ..., S, E)
                dv = Pᵀ dy                      dv (N, ..., S, Ev)
                dB = Σ dS                       of the mask's shape, summed over the axes along which it is repeated

    verified    torch.nn.functional.scaled_dot_product_attention; obvious loops

    s is `scale`, by default 1/√E. The inputs are query, key, value and, if there are four, a mask that can be broadcast
    to S: (N, ..., L, S), or (L, S) for all samples (`per_sample: false` in the spec). As in PyTorch, a mask of booleans
    (or of integers) says with true (or not 0) which keys a query may look at, and a mask of real numbers is added to
    S; in a spec, true and false, `fill: binary` or `dtype: bool` make booleans or integers. With `is_causal` query l
    sees keys 0 to l, of those that the mask allows. A query that sees no key gets y = 0, and no gradient flows through
    it. PyTorch's `dropout_p` is a layer of its own here.
    """

    is_causal: bool = False
    scale: float | None = None

    def check(self, *x_shapes: Shape) -> None:
        """Query, key and value alike but for L, S and Ev, and a mask that fits their scores."""
        if len(x_shapes) not in (3, 4):
            raise ShapeError(f"needs query, key and value, and perhaps a mask, got {len(x_shapes)} inputs")
        q, k, v, *masks = x_shapes
        what = "query (N, ..., L, E), key (N, ..., S, E) and value (N, ..., S, Ev)"
        require_attention(q, k, v, what)
        if len(q) < 3 or q[-1] != k[-1]:
            raise ShapeError(f"needs {what}, got {q}, {k} and {v}")
        for mask in masks:
            require_mask(mask, (*q[:-1], k[-2]), "(L, S) or (N, ..., L, S)")

    def forward(self, query: Array, key: Array, value: Array, attn_mask: Array | None = None) -> tuple[Array, Any]:
        """y = softmax(s q kᵀ + B) v."""
        scale = 1 / math.sqrt(query.shape[-1]) if self.scale is None else self.scale
        y, cache = attend(query, key, value, attn_mask, scale, self.is_causal)
        return y, (cache, attn_mask is not None)

    def backward(self, dy: Array, cache: Any) -> tuple[Any, dict[str, Array]]:
        """dq = s dS k, dk = s dSᵀ q, dv = Pᵀ dy, dB = Σ dS."""
        attended, has_mask = cache
        dx = attend_vjp(dy, attended)
        return dx if has_mask else dx[:3], {}
