"""Layer or loss -> the same in PyTorch: one row each, and nothing to register.

A row takes PyTorch, the layer, its inputs by position and its parameters and constants by name, all as tensors, and
returns the output or the outputs. That of a loss takes predictions by position and data by name, and returns the losses
before any reduction and without sample weights; or the scalar, of a loss that takes its `reduction`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Unlike(Exception):  # noqa: N818 - what was drawn is right, and PyTorch has no such thing; it is drawn again
    """PyTorch has this operation, but not with these options."""


Row = Callable[..., Any]


def _avg_pool2d(torch: Any, layer: Any, x: Any) -> Any:
    options = layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, layer.count_include_pad
    return torch.nn.functional.avg_pool2d(x, *options)


def _batch_norm(torch: Any, layer: Any, x: Any, **named: Any) -> Any:
    running = {name: named.pop(name, None) for name in ("running_mean", "running_var")}
    return torch.nn.functional.batch_norm(x, **running, **named, training=layer.training, eps=layer.eps)


def _conv2d(torch: Any, layer: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    options = layer.stride, layer.padding, layer.dilation, layer.groups
    return torch.nn.functional.conv2d(x, weight, bias, *options)


def _dropout(torch: Any, layer: Any, x: Any, mask: Any = None) -> Any:
    """PyTorch draws a mask of its own, so this is its product and its quotient."""
    return x if mask is None else torch.where(mask, x, 0) / (1 - layer.p if layer.p < 1 else 1)


def _lstm(torch: Any, layer: Any, x: Any, h0: Any = None, c0: Any = None, **named: Any) -> Any:
    own = torch.nn.LSTM(x.shape[2], layer.hidden_size, bias=layer.bias, batch_first=True, dtype=x.dtype)
    kinds = ("weight_i", "weight_h", "bias_i", "bias_h")[: 4 if layer.bias else 2]
    stacked = {f"{kind}h_l0": torch.cat([named[kind + gate] for gate in "ifgo"]) for kind in kinds}
    state = None if h0 is None else (h0[None], c0[None])
    y, (h_n, c_n) = torch.func.functional_call(own, stacked, (x, state))
    return (y, h_n[0], c_n[0]) if layer.return_state else y


def _max_pool2d(torch: Any, layer: Any, x: Any) -> Any:
    options = layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode
    return torch.nn.functional.max_pool2d(x, *options)


def _multi_head_attention(
    torch: Any, layer: Any, query: Any, key: Any = None, value: Any = None, mask: Any = None, **named: Any
) -> Any:
    key, value = query if key is None else key, query if value is None else value
    size, heads = named["q_proj_weight"].shape[0], layer.num_heads
    if size != query.shape[2]:
        raise Unlike("embed_dim is the query's features")
    if mask is not None and mask.ndim == 3:
        mask = mask.repeat_interleave(heads, dim=0)
    elif mask is not None and mask.ndim == 4:
        mask = mask.flatten(0, 1)
    bias = torch.cat([named[f"{name}_proj_bias"] for name in "qkv"]) if layer.bias else None
    y, _ = torch.nn.functional.multi_head_attention_forward(
        *(x.swapaxes(0, 1) for x in (query, key, value)), size, heads, None, bias, None, None, False, 0.0,
        named["out_proj_weight"], named.get("out_proj_bias"), need_weights=False, use_separate_proj_weight=True,
        attn_mask=_added(torch, mask, (query.shape[1], key.shape[1]), layer.is_causal, query.dtype),
        **{f"{name}_proj_weight": named[f"{name}_proj_weight"] for name in "qkv"},
    )  # fmt: skip
    return y.swapaxes(0, 1)


def _scaled_dot_product_attention(torch: Any, layer: Any, query: Any, key: Any, value: Any, mask: Any = None) -> Any:
    mask = _added(torch, mask, (query.shape[-2], key.shape[-2]), layer.is_causal, query.dtype)
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, mask, scale=layer.scale)


def _added(torch: Any, mask: Any, shape: tuple[int, int], is_causal: bool, dtype: Any) -> Any:
    """What is added to the scores: −∞ where a key may not be seen."""
    if mask is not None and not mask.is_floating_point():
        mask = torch.zeros(mask.shape, dtype=dtype).masked_fill(mask == 0, -torch.inf)
    if is_causal:
        later = torch.full(shape, -torch.inf, dtype=dtype).triu(1)
        mask = later if mask is None else mask + later
    return mask


#: Layer -> PyTorch.
LAYERS: dict[str, Row] = {
    "add": lambda torch, layer, *x: sum(x[1:], x[0]),
    "avg_pool2d": _avg_pool2d,
    "batch_norm": _batch_norm,
    "concat": lambda torch, layer, *x: torch.cat(x, layer.dim),
    "conv2d": _conv2d,
    "dropout": _dropout,
    "elu": lambda torch, layer, x: torch.nn.functional.elu(x, layer.alpha),
    "embedding": lambda torch, layer, i, weight: torch.nn.functional.embedding(i, weight, layer.padding_idx),
    "flatten": lambda torch, layer, x: x.flatten(layer.start_dim, layer.end_dim),
    "instance_norm": lambda torch, layer, x, **named: torch.nn.functional.instance_norm(x, **named, eps=layer.eps),
    "layer_norm": lambda torch, layer, x, **named: torch.nn.functional.layer_norm(
        x, x.shape[-len(layer._shape) :], **named, eps=layer.eps
    ),
    "leaky_relu": lambda torch, layer, x: torch.nn.functional.leaky_relu(x, layer.negative_slope),
    "linear": lambda torch, layer, x, weight, bias=None: torch.nn.functional.linear(x, weight.T, bias),
    "log_softmax": lambda torch, layer, x: torch.log_softmax(x, layer.dim),
    "lstm": _lstm,
    "max_pool2d": _max_pool2d,
    "multi_head_attention": _multi_head_attention,
    "multiply": lambda torch, layer, *x: torch.stack(x).prod(dim=0),
    "relu": lambda torch, layer, x: torch.relu(x),
    "reshape": lambda torch, layer, x: x.reshape(len(x), *layer.shape),
    "scaled_dot_product_attention": _scaled_dot_product_attention,
    "selu": lambda torch, layer, x: torch.selu(x),
    "sigmoid": lambda torch, layer, x: torch.sigmoid(x),
    "softmax": lambda torch, layer, x: torch.softmax(x, layer.dim),
    "softplus": lambda torch, layer, x: torch.nn.functional.softplus(x, layer.beta, threshold=500),
    "split": lambda torch, layer, x: torch.split(x, layer.split_size_or_sections, layer.dim),
    "tanh": lambda torch, layer, x: torch.tanh(x),
    "transpose": lambda torch, layer, x: x.transpose(layer.dim0, layer.dim1),
}


def _class_weight(torch: Any, loss: Any, prediction: Any) -> Any:
    return loss.class_weight and torch.tensor(loss.class_weight, dtype=prediction.dtype)


def _cross_entropy(torch: Any, loss: Any, prediction: Any, target: Any) -> Any:
    axis, probabilities = loss.axis, target.is_floating_point()
    ignored = {} if probabilities else {"ignore_index": loss.ignore_index}
    return torch.nn.functional.cross_entropy(
        prediction.movedim(axis, 1), target.movedim(axis, 1) if probabilities else target,
        _class_weight(torch, loss, prediction), reduction="none", label_smoothing=loss.label_smoothing, **ignored,
    )  # fmt: skip


def _nll(torch: Any, loss: Any, prediction: Any, target: Any) -> Any:
    weight = _class_weight(torch, loss, prediction)
    rows = prediction.movedim(loss.axis, 1).contiguous()
    return torch.nn.functional.nll_loss(rows, target, weight, ignore_index=loss.ignore_index, reduction="none")


def _multi_margin(torch: Any, loss: Any, prediction: Any, target: Any) -> Any:
    if prediction.ndim != 2:
        raise Unlike("PyTorch's takes (N, C) alone")
    weight = _class_weight(torch, loss, prediction)
    options = {"p": loss.p, "margin": loss.margin, "reduction": "none"}
    return torch.nn.functional.multi_margin_loss(prediction, target, weight=weight, **options)


def _bce_with_logits(torch: Any, loss: Any, prediction: Any, target: Any) -> Any:
    weight = torch.tensor(loss.pos_weight, dtype=prediction.dtype)
    return _functional("binary_cross_entropy_with_logits", pos_weight=weight)(torch, loss, prediction, target)


def _gaussian_nll(torch: Any, loss: Any, mean: Any, variance: Any, target: Any) -> Any:
    if (variance <= loss.eps).any():
        raise Unlike("below eps PyTorch hands back a gradient that is not that of the loss")
    target = target.to(mean.dtype)
    return torch.nn.functional.gaussian_nll_loss(mean, target, variance, loss.full, loss.eps, "none")


def _functional(name: str, *options: str, **values: Any) -> Row:
    """PyTorch's function of that name, of a prediction and a target of real numbers, with options of the loss."""

    def row(torch: Any, loss: Any, prediction: Any, target: Any) -> Any:
        given = {**values, **{option: getattr(loss, option) for option in options}, "reduction": "none"}
        function = getattr(torch.nn.functional, name)
        return function(prediction, target.to(prediction.dtype), **given)

    return row


def _cosine_embedding(torch: Any, loss: Any, left: Any, right: Any, target: Any) -> Any:
    if left.shape[-1] == 1:
        raise Unlike("of one number the cosine is ±1, and 1 − cos nothing but rounding")
    return torch.nn.functional.cosine_embedding_loss(left, right, target, loss.margin, reduction="none")


def _embeddings(name: str, *options: str) -> Row:
    """PyTorch's function of that name, of embeddings and perhaps a target."""
    return lambda torch, loss, *embeddings, **data: getattr(torch.nn.functional, name)(
        *embeddings, **data, **{option: getattr(loss, option) for option in options}, reduction="none"
    )


#: Loss -> PyTorch.
LOSSES: dict[str, Row] = {
    "bce": _functional("binary_cross_entropy"),
    "bce_with_logits": _bce_with_logits,
    "cosine_embedding": _cosine_embedding,
    "cross_entropy": _cross_entropy,
    "gaussian_nll": _gaussian_nll,
    "huber": _functional("huber_loss", "delta"),
    "kl_div": _functional("kl_div", "log_target"),
    "l1": _functional("l1_loss"),
    "mse": _functional("mse_loss"),
    "multi_margin": _multi_margin,
    "nll": _nll,
    "poisson_nll": _functional("poisson_nll_loss", "log_input", "full", "eps"),
    "smooth_l1": _functional("smooth_l1_loss", "beta"),
    "triplet_margin": _embeddings("triplet_margin_loss", "margin", "p", "eps", "swap"),
}
