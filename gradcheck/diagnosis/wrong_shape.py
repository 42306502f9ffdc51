"""The gradient has the wrong shape.

## What it is
What backward returns for an array has not its shape: a sum over the batch is missing, or one too many is made.

## Why it is bad
NumPy broadcasts it in the step, and every weight gets the gradient of others.

## Typical causes
`dy` for `dy.sum(axis=0)`; a mean over the wrong axis; a gradient of one sample.

## How to repair
Every gradient has the shape of what it belongs to: sum over the axes that forward broadcasts along.

## How to silence
`--ignore GC120`.
"""

from __future__ import annotations

CODE = "GC120"
ASKED = ()
