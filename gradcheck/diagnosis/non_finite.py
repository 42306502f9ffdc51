"""The gradient is NaN or infinite, where the numeric one is finite.

## What it is
Backward gives what is no number; forward does not.

## Why it is bad
One NaN in one entry makes every parameter NaN at the next step.

## Typical causes
0 · inf and 0 / 0: a derivative of a root or a norm at 0, a logarithm of a probability of 0, exp of a large number.

## How to repair
Compute the derivative in a form that does not divide by what may be 0, or treat that point by itself.

## How to silence
`--ignore GC115`.
"""

from __future__ import annotations

CODE = "GC115"
ASKED = ()
