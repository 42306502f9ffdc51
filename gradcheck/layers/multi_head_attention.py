"""Several attentions side by side, between linear maps (Vaswani et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._attention import attend, attend_vjp, require_attention, require_mask
from gradcheck.layers._base import Array, Layer, Shape

Count = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True)
class MultiHeadAttention(Layer):
    """Several attentions side by side, between linear maps (Vaswani et al. 2017).

    forward     y  = Y W_oᵀ + b_o       y (N, L, E)     Y (N, L, E) the heads' outputs side by side: of each head,
                                                        Y = P V, P = softmax(Q Kᵀ / √(E/H) + B)  P, B (N, H, L, S)
                Q  = q W_qᵀ + b_q       q (N, L, Fq)    Q (N, L, E) = (N, L, H, E/H), H heads
                K  = k W_kᵀ + b_k       k (N, S, Fk)    K (N, S, E) = (N, S, H, E/H)
                V  = v W_vᵀ + b_v       v (N, S, Fv)    V (N, S, E) = (N, S, H, E/H)

    backward    dY = dy W_o             dy (N, L, E)    dQ, dK, dV, dB of each head as scaled_dot_product_attention has
                                                        them
                dq = dQ W_q             dq (N, L, Fq)   dk, dv alike
                dW_q = Σ dQᵀ q          dW_q (E, Fq)    summed over N and L (over N and S); dW_k, dW_v, dW_o alike
                db_q = Σ dQ             db_q (E,)       db_k, db_v, db_o alike

    verified    torch.nn.functional.multi_head_attention_forward; obvious loops

    One input is query, key and value at once (self-attention); three are query, key and value; a fourth is a mask, for
    (L, S), (N, L, S) or (N, H, L, S), with the meaning that scaled_dot_product_attention gives it: true is to be looked
    at (PyTorch's MultiheadAttention means the opposite). For self-attention with a mask, name the input three times.
    E is `embed_dim`, by default the query's features. The parameters are PyTorch's, one array a block where it stacks
    them: `q_proj_weight`, `k_proj_weight`, `v_proj_weight`, `out_proj_weight`, and `q_proj_bias` etc. for
    `in_proj_bias`. Weights are drawn as PyTorch draws them, and biases uniformly from ±1/√features and not as zeros, at
    which a wrong gradient may pass unseen. b_k moves all scores of a query alike: its true gradient is zero, and no
    check can test it.
    """

    num_heads: Count
    embed_dim: Count | None = None
    bias: bool = True
    is_causal: bool = False

    def check(self, *x_shapes: Shape) -> None:
        """One sequence, or three that fit together; heads that divide E; a mask that fits the scores."""
        if len(x_shapes) not in (1, 3, 4):
            one = "one sequence, or query, key and value, and perhaps a mask"
            raise ShapeError(f"needs {one}, got {len(x_shapes)} inputs")
        q, k, v = x_shapes[:3] if len(x_shapes) > 1 else x_shapes * 3
        if len(q) != 3:
            raise ShapeError(f"needs a sequence (N, L, features), got {q}")
        require_attention(q, k, v, "query (N, L, features), key and value (N, S, features)")
        if self._embed_dim(q) % self.num_heads:
            raise ShapeError(f"needs embed_dim divisible by num_heads={self.num_heads}, got {self._embed_dim(q)}")
        for mask in x_shapes[3:]:
            scores = (q[0], q[1], k[1]) if len(mask) < 4 else (q[0], self.num_heads, q[1], k[1])
            require_mask(mask, scores, "(L, S), (N, L, S) or (N, num_heads, L, S)")

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Weights (E, features) and biases (E,)."""
        q, k, v = x_shapes[:3] if len(x_shapes) > 1 else x_shapes * 3
        size = self._embed_dim(q)
        features = {"q_proj": q[-1], "k_proj": k[-1], "v_proj": v[-1], "out_proj": size}
        parameters = {}
        for name, count in features.items():
            bound = 1 / np.sqrt(count) if name == "out_proj" else np.sqrt(6 / (count + size))
            parameters[f"{name}_weight"] = rng.uniform(-bound, bound, (size, count))
        if self.bias:
            for name, count in features.items():
                parameters[f"{name}_bias"] = rng.uniform(-1, 1, size) / np.sqrt(count)
        return parameters

    def forward(
        self,
        query: Array,
        key: Array | None = None,
        value: Array | None = None,
        attn_mask: Array | None = None,
        **parameters: Array,
    ) -> tuple[Array, Any]:
        """Q, K and V, the attention of each head, and y = Y W_oᵀ + b_o."""
        inputs = [query if x is None else x for x in (query, key, value)]
        Q, K, V = (self._apart(_affine(name, x, parameters)) for name, x in zip(("q", "k", "v"), inputs, strict=True))
        mask = attn_mask[:, None] if attn_mask is not None and attn_mask.ndim == 3 else attn_mask
        heads, attended = attend(Q, K, V, mask, 1 / math.sqrt(Q.shape[-1]), self.is_causal)
        Y = _together(heads)
        y = _affine("out", Y, parameters)
        counts = 1 if key is None else 3 if attn_mask is None else 4
        return y, (inputs, Y, attended, parameters, counts, None if attn_mask is None else attn_mask.shape)

    def backward(self, dy: Array, cache: Any) -> tuple[Any, dict[str, Array]]:
        """dY = dy W_o, then dQ, dK and dV of each head, then what their linear maps make of them."""
        inputs, Y, attended, parameters, counts, mask_shape = cache
        dY, gradients = _affine_vjp("out", dy, Y, parameters)
        *d_heads, dB = attend_vjp(self._apart(dY), attended)
        dx = []
        for name, dQ, x in zip(("q", "k", "v"), d_heads, inputs, strict=True):
            d, own = _affine_vjp(name, _together(dQ), x, parameters)
            dx.append(d)
            gradients |= own
        if counts == 1:
            return dx[0] + dx[1] + dx[2], gradients
        return (*dx, None if dB is None else dB.reshape(mask_shape))[:counts], gradients

    def _embed_dim(self, query: Shape) -> int:
        return self.embed_dim or query[-1]

    def _apart(self, x: Array) -> Array:
        """(N, L, E) -> (N, H, L, E/H)."""
        return x.reshape(*x.shape[:2], self.num_heads, -1).swapaxes(1, 2)


def _together(heads: Array) -> Array:
    """(N, H, L, E/H) -> (N, L, E)."""
    n, h, length, size = heads.shape
    return heads.swapaxes(1, 2).reshape(n, length, h * size)


def _affine(name: str, x: Array, parameters: Mapping[str, Array]) -> Array:
    """x Wᵀ + b."""
    y: Array = x @ parameters[f"{name}_proj_weight"].T
    bias = parameters.get(f"{name}_proj_bias")
    return y if bias is None else y + bias


def _affine_vjp(name: str, dy: Array, x: Array, parameters: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
    """dx = dy W, dW = Σ dyᵀ x, db = Σ dy."""
    flat = dy.reshape(-1, dy.shape[-1])
    gradients = {f"{name}_proj_weight": flat.T @ x.reshape(len(flat), -1)}
    if f"{name}_proj_bias" in parameters:
        gradients[f"{name}_proj_bias"] = flat.sum(axis=0)
    return dy @ parameters[f"{name}_proj_weight"], gradients
