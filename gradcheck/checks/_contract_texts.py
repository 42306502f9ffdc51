"""What `gradcheck explain` says about the codes of the contract."""

from __future__ import annotations

TEXTS = {
    "GC501": """A forward or backward that changes what it is given.

## What it is
Bit for bit, the inputs, the parameters, the constants, the upstream gradient or what forward has kept for backward are
others after the call than before. The finding says which, and by which of the two methods. As a warning: something is
kept on the instance or its class between calls, though nothing that was asked here depends on it.

## Why it is bad
Another layer may read the same array: the input of a layer is the output of the one before it, and in a residual net
the input of a third. A second backward, or an optimiser's step, then starts from spoiled numbers.

## Typical causes
`x *= mask` or `dy[x < 0] = 0` in place; `np.exp(x, out=x)`; `cache.pop()`; parameters that are updated in backward; a
gradient that is added to a buffer in the cache.

## How to repair
Make a new array (`dx = np.where(x < 0, 0, dy)`), or copy before working in place.

## How to silence
`checks: {contract: false}` in the spec switches the check off; `--ignore GC501` ignores the finding.
""",
    "GC502": """A forward or backward that gives something else when it is called again.

## What it is
Called five times with the same numbers, it gives results that differ by more than rounding.

## Why it is bad
Then forward is no function, and there is no derivative that backward could be. Every other check can only find out that
it cannot decide. In training such a layer follows the gradient of another draw than the one that it was evaluated at.

## Typical causes
A dropout mask drawn in backward again instead of kept; a mask or noise drawn in forward from a global generator;
uninitialised memory (`np.empty`) that is not filled everywhere.

## How to repair
Draw in `constants`: it is called once, and what it returns is handed to forward by name. Keep in the cache what
backward needs.

## How to silence
`checks: {contract: false}` in the spec switches the check off; `--ignore GC502` ignores the finding.
""",
    "GC503": """A result that depends on what else was called before.

## What it is
A backward belongs to one forward: to its cache. Here the gradient is another one after forward was called twice, after
backward was called twice with the same cache, or after another batch, of the same or another size, came in between; or
what a call has returned is overwritten by the next one. The finding says which order of calls shows it.

## Why it is bad
A layer that is used twice in a network, gradient accumulation, an evaluation between two steps of training: each calls
in another order, and each gets a wrong gradient without a word.

## Typical causes
What forward has seen is kept on the instance or the class, and belongs to the last batch; a gradient buffer that is
added to and never cleared.

## How to repair
Return everything that backward needs as the cache, and read nothing else there. Return gradients; whoever calls adds
them up.

## How to silence
`checks: {contract: false}` in the spec switches the check off; `--ignore GC503` ignores the finding.
""",
    "GC504": """A backward that is not linear in its upstream gradient.

## What it is
With B the backward at a fixed cache and g, h random upstream gradients: B(0) = 0, B(c g) = c B(g) for c = 2, -1, 1024
and 1/1024, B(g + h) = B(g) + B(h), and B is the same where g lies otherwise in memory (strided, or one row that stands
for all samples). Judged by γ_K max|B| + 10 s, the rounding alone.

## Why it is bad
Backward is a vector-Jacobian product, dx = Jᵀ dy, and linear by definition. What is not linear may be right for one
upstream gradient and is wrong for others: with another loss, another learning-rate scale, another layer behind it.

## Typical causes
Gradients clipped or normalised inside a layer (B(0) = 0, but B(1024 g) is less than 1024 B(g)); the upstream gradient
ignored (a loss that starts with 1); a weight decay added in backward (B(0) is not 0); guided backpropagation, which
drops negative gradients.

## How to repair
Multiply by the upstream gradient and add up; do nothing else with it. Clip in the optimiser.

## How to silence
`checks: {contract: false}` in the spec switches the check off; `--ignore GC504` ignores the finding.
""",
}
