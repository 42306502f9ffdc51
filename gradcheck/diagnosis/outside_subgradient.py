"""At a kink, a slope that no side has.

## What it is
At a point without a derivative, the analytic value lies outside the interval of the one-sided slopes of the layer's
outputs; or the shares at a tie do not add up.

## Why it is bad
On real data such points are common: zeros of padding, ties in a maximum. There a step goes where neither side points.

## Typical causes
Every tie gets the whole gradient; 0 where a leaky unit has 1 below and a slope above; a derivative of `sign`.

## How to repair
Choose one of the slopes of forward, any between them; at a tie give the gradient to one entry or share it out.

## How to silence
`--ignore GC114`.
"""

from __future__ import annotations

CODE = "GC114"
ASKED = ()
