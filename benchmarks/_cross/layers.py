"""Layer -> the same in PyTorch: one row each, and nothing to register.

A row takes PyTorch, the layer, its inputs by position and its parameters and constants by name, all as tensors, and
returns the output or the outputs. What a layer's docstring says that it was verified against is what its row calls; a
layer that PyTorch has not is composed of what it has, or has no row.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

from _cross.rows import Row, Unlike


def _function(name: str, *options: str) -> Row:
    """torch.name of an input and parameters by position, with options of the layer."""
    return lambda torch, layer, *x, **named: getattr(torch, name)(
        *x, *named.values(), *[getattr(layer, option) for option in options]
    )


def _functional(name: str, *options: str) -> Row:
    """torch.nn.functional.name of inputs and parameters, with options of the layer by position."""
    return lambda torch, layer, *x, **named: getattr(torch.nn.functional, name)(
        *x, *named.values(), *[getattr(layer, option) for option in options]
    )


def _convolution(name: str, *options: str) -> Row:
    """A convolution, perhaps without a bias."""

    def row(torch: Any, layer: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        function = getattr(torch.nn.functional, name)
        return function(x, weight, bias, *[getattr(layer, option) for option in options])

    return row


def _normalisation(name: str) -> Row:
    """Of the last axes."""

    def row(torch: Any, layer: Any, x: Any, **named: Any) -> Any:
        shape = layer.normalized_shape or x.shape[-1]
        shape = shape if isinstance(shape, tuple) else (shape,)
        return getattr(torch.nn.functional, name)(x, shape, **named, eps=layer.eps)

    return row


def _batch_norm(torch: Any, layer: Any, x: Any, **named: Any) -> Any:
    running = {name: named.pop(name, None) for name in ("running_mean", "running_var")}
    return torch.nn.functional.batch_norm(x, **running, **named, training=layer.training, eps=layer.eps)


def _group_norm(torch: Any, layer: Any, x: Any, weight: Any = None, bias: Any = None) -> Any:
    if x[0].numel() == layer.num_groups and len(x) == 1:
        raise Unlike("PyTorch refuses a single number in each group")
    return torch.nn.functional.group_norm(x, layer.num_groups, weight, bias, layer.eps)


def _local_response_norm(torch: Any, layer: Any, x: Any) -> Any:
    if x.ndim < 3:
        raise Unlike("PyTorch's takes channels and axes behind them")
    return torch.nn.functional.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)


def _cosine_similarity(torch: Any, layer: Any, *x: Any) -> Any:
    if any((torch.linalg.vector_norm(each, dim=layer.dim) <= layer.eps).any() for each in x):
        raise Unlike("below eps PyTorch hands back a gradient that is not that of the cosine")
    return torch.nn.functional.cosine_similarity(*x, layer.dim, layer.eps)


def _weight_norm_linear(torch: Any, layer: Any, x: Any, weight_v: Any, weight_g: Any, bias: Any = None) -> Any:
    linear = torch.nn.Linear(*weight_v.shape, bias=bias is not None, dtype=x.dtype)
    normalised = torch.nn.utils.parametrizations.weight_norm(linear)
    given = {"original0": weight_g[:, None], "original1": weight_v.T}
    named = {f"parametrizations.weight.{name}": array for name, array in given.items()}
    return torch.func.functional_call(normalised, {**named, **({} if bias is None else {"bias": bias})}, (x,))


def _dropout(torch: Any, layer: Any, x: Any, mask: Any = None) -> Any:
    """PyTorch draws a mask of its own, so this is its product and its quotient."""
    return x if mask is None else torch.where(mask, x, 0) / (1 - layer.p if layer.p < 1 else 1)


def _recurrent(name: str, *options: str) -> Row:
    """torch.nn.RNN, GRU or LSTM, whose blocks are stacked."""

    def row(torch: Any, layer: Any, x: Any, *states: Any, **named: Any) -> Any:
        size, ways = layer.hidden_size, ("", "_reverse")[: 1 + layer.bidirectional]
        own = getattr(torch.nn, name)(
            x.shape[2], size, layer.num_layers, bias=layer.bias, batch_first=True, bidirectional=layer.bidirectional,
            dtype=x.dtype, **{option: getattr(layer, option) for option in options},
        )  # fmt: skip
        stacked = {
            f"{kind}_{side}h_l{k}{way}": torch.cat(
                [named[f"{kind}_{side}{gate}{f'_l{k}' if k else ''}{way}"] for gate in layer.gates]
            )
            for kind in ("weight", "bias")[: 1 + layer.bias]
            for side in "ih"
            for k in range(layer.num_layers)
            for way in ways
        }
        given = [state.reshape(len(x), -1, size).swapaxes(0, 1).contiguous() for state in states]
        state = tuple(given) if len(given) > 1 else given[0] if given else None
        y, last = torch.func.functional_call(own, stacked, (x, state))
        shape = (len(x), -1, size) if layer.num_layers * len(ways) > 1 else (len(x), size)
        ends = [end.swapaxes(0, 1).reshape(shape) for end in (last if isinstance(last, tuple) else (last,))]
        return (y, *ends) if layer.return_state else y

    return row


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


def _rotary_embedding(torch: Any, layer: Any, x: Any) -> Any:
    """Complex numbers turned by PyTorch."""
    half = x.shape[-1] // 2
    phi = torch.arange(x.shape[-2])[:, None] * layer.base ** (-torch.arange(half, dtype=x.dtype) / half)
    pairs = x.unflatten(-1, (half, 2)) if layer.interleaved else x.unflatten(-1, (2, half)).mT
    turned = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * torch.polar(torch.ones_like(phi), phi))
    return (turned if layer.interleaved else turned.mT).flatten(-2)


def _global_avg_pool2d(torch: Any, layer: Any, x: Any) -> Any:
    y = torch.nn.functional.adaptive_avg_pool2d(x, 1)
    return y if layer.keepdim else y[:, :, 0, 0]


def _learnable_pool2d(torch: Any, layer: Any, x: Any, weight: Any, bias: Any) -> Any:
    mean = torch.nn.functional.avg_pool2d(x, layer.kernel_size, layer.stride, layer.padding)
    return weight[:, None, None] * mean + bias[:, None, None]


def _pad(torch: Any, layer: Any, x: Any) -> Any:
    """Other modes than constant take two axes before those that get margins."""
    if layer.mode == "constant":
        return torch.nn.functional.pad(x, layer.pad, value=layer.value)
    axes = len(layer.pad) // 2
    y = torch.nn.functional.pad(x.reshape(1, -1, *x.shape[-axes:]), layer.pad, layer.mode)
    return y.reshape(*x.shape[:-axes], *y.shape[2:])


def _upsample(torch: Any, layer: Any, x: Any) -> Any:
    corners = layer.align_corners if layer.mode == "bilinear" else None
    factor = layer.scale_factor if isinstance(layer.scale_factor, tuple) else (layer.scale_factor,) * 2
    factor = None if layer.scale_factor is None else tuple(map(float, factor))
    return torch.nn.functional.interpolate(x, layer.size, factor, layer.mode, corners)


_AVERAGE = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
_GREATEST = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_CONVOLUTION = ("stride", "padding", "dilation", "groups")
_TRANSPOSED = ("stride", "padding", "output_padding", "groups", "dilation")

#: Layer -> PyTorch.
LAYERS: dict[str, Row] = {
    "abs": _function("abs"),
    "adaptive_avg_pool2d": _functional("adaptive_avg_pool2d", "output_size"),
    "adaptive_max_pool2d": _functional("adaptive_max_pool2d", "output_size"),
    "add": lambda torch, layer, *x: reduce(torch.add, x),
    "avg_pool1d": _functional("avg_pool1d", *_AVERAGE),
    "avg_pool2d": _functional("avg_pool2d", *_AVERAGE),
    "batch_norm": _batch_norm,
    "bilinear": _functional("bilinear"),
    "clamp": _function("clamp", "min", "max"),
    "concat": lambda torch, layer, *x: torch.cat(x, layer.dim),
    "conv1d": _convolution("conv1d", *_CONVOLUTION),
    "conv2d": _convolution("conv2d", *_CONVOLUTION),
    "conv3d": _convolution("conv3d", *_CONVOLUTION),
    "conv_transpose2d": _convolution("conv_transpose2d", *_TRANSPOSED),
    "cosine_similarity": _cosine_similarity,
    "dropout": _dropout,
    "elu": _functional("elu", "alpha"),
    "embedding": lambda torch, layer, i, weight: torch.nn.functional.embedding(i, weight, layer.padding_idx),
    "exp": _function("exp"),
    "flatten": _function("flatten", "start_dim", "end_dim"),
    "gather": lambda torch, layer, x, index: torch.gather(x, layer.dim, index),
    "gelu": lambda torch, layer, x: torch.nn.functional.gelu(x, approximate=layer.approximate),
    "global_avg_pool2d": _global_avg_pool2d,
    "glu": _functional("glu", "dim"),
    "group_norm": _group_norm,
    "gru": _recurrent("GRU"),
    # PyTorch's hardsigmoid takes 1/6 in single precision
    "hard_sigmoid": lambda torch, layer, x: torch.nn.functional.relu6(x + 3) / 6,
    "hard_swish": _functional("hardswish"),
    "hard_tanh": _functional("hardtanh", "min_val", "max_val"),
    "instance_norm": lambda torch, layer, x, **named: torch.nn.functional.instance_norm(x, **named, eps=layer.eps),
    "layer_norm": _normalisation("layer_norm"),
    "leaky_relu": _functional("leaky_relu", "negative_slope"),
    "learnable_pool2d": _learnable_pool2d,
    "linear": lambda torch, layer, x, weight, bias=None: torch.nn.functional.linear(x, weight.T, bias),
    "local_response_norm": _local_response_norm,
    "log": _function("log"),
    "log_softmax": _function("log_softmax", "dim"),
    "lstm": _recurrent("LSTM"),
    "matmul": lambda torch, layer, a, b: torch.matmul(a, b.mT if layer.transpose_b else b),
    "max": _function("amax", "dim", "keepdim"),
    "max_pool1d": _functional("max_pool1d", *_GREATEST),
    "max_pool2d": _functional("max_pool2d", *_GREATEST),
    "maxout": lambda torch, layer, x: torch.amax(x.unflatten(layer.dim, (-1, layer.pool_size)), layer.dim % x.ndim + 1),
    "mean": _function("mean", "dim", "keepdim"),
    "mish": _functional("mish"),
    "multi_head_attention": _multi_head_attention,
    "multiply": lambda torch, layer, *x: reduce(torch.mul, x),
    "norm": lambda torch, layer, x: torch.linalg.vector_norm(x, layer.p, layer.dim, layer.keepdim),
    "pad": _pad,
    "positional_embedding": lambda torch, layer, x, weight: (
        x + torch.nn.functional.embedding(torch.arange(x.shape[1]), weight)
    ),
    "power": _function("pow", "exponent"),
    "prelu": _functional("prelu"),
    "relu": _function("relu"),
    "reshape": lambda torch, layer, x: torch.reshape(x, (len(x), *layer.shape)),
    "rms_norm": _normalisation("rms_norm"),
    "rnn": _recurrent("RNN", "nonlinearity"),
    "rotary_embedding": _rotary_embedding,
    "scaled_dot_product_attention": _scaled_dot_product_attention,
    "selu": _function("selu"),
    "sigmoid": _function("sigmoid"),
    "silu": _functional("silu"),
    "slice": lambda torch, layer, x: torch.ops.aten.slice(x, layer.dim, layer.start, layer.end, layer.step),
    "softmax": _function("softmax", "dim"),
    "softplus": lambda torch, layer, x: torch.nn.functional.softplus(x, layer.beta, threshold=500),
    "softsign": _functional("softsign"),
    "split": _function("split", "split_size_or_sections", "dim"),
    "sqrt": _function("sqrt"),
    "square": _function("square"),
    "sum": _function("sum", "dim", "keepdim"),
    "tanh": _function("tanh"),
    "transpose": _function("transpose", "dim0", "dim1"),
    "upsample": _upsample,
    "weight_norm_linear": _weight_norm_linear,
}
