"""How the gradients of micro-batches are put together: the right recipe for a loss, and the usual wrong ones.

With gₖ(sum) and gₖ(mean) the gradients of micro-batch k of K under `sum` and under the reduction, Dₖ the divisor of the
micro-batch and D that of the whole batch, each recipe is a factor for every gₖ(sum). The right one is 1/D.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class Recipe(Struct, frozen=True):
    """A way to put micro-batches together.

    formula  of the gradient
    factors  what that multiplies gₖ(sum) by, for each micro-batch
    mistake  in words, what is done instead of the right recipe; empty for the right one
    """

    name: str
    formula: str
    factors: tuple[float, ...]
    mistake: str = ""


def right(micro_batches: int, whole: float) -> Recipe:
    """Sum first, divide once. Over ranks that are averaged afterwards it is the same: each gives gₖ(sum) K / D."""
    formula = "Σ gₖ(sum)" if whole == 1 else "Σ gₖ(sum) / D"
    return Recipe("sum first, divide once", formula, (1 / whole,) * micro_batches)


def wrong(divisors: Sequence[float], whole: float, samples: int, mean: str) -> list[Recipe]:
    """The usual mistakes; those that are right for this loss are left out. `mean` is the reduction's name."""
    k = len(divisors)
    if whole == 1 and all(divisor == 1 for divisor in divisors):
        return [
            Recipe("divided by K", f"Σ gₖ({mean}) / K", tuple(1 / k for _ in divisors), "dividing by their number"),
        ]
    table = (
        ("mean of means", f"Σ gₖ({mean}) / K", [1 / (k * d) for d in divisors],
         "averaging the means of micro-batches or ranks"),
        ("sum of means", f"Σ gₖ({mean})", [1 / d for d in divisors], "adding the means up"),
        ("divisor of the last window", "Σ gₖ(sum) / D_K", [1 / divisors[-1] for _ in divisors],
         "dividing by the last divisor"),
        ("partial window", f"Σ gₖ({mean}) / (K + 1)", [1 / ((k + 1) * d) for d in divisors],
         "averaging the means of a last window that lacks one micro-batch as if it were full"),
    )  # fmt: skip
    found = [Recipe(name, formula, tuple(factors), mistake) for name, formula, factors, mistake in table]
    if whole != samples:
        by_samples = tuple(1 / samples for _ in divisors)
        found.append(Recipe("divided by the samples", "Σ gₖ(sum) / N", by_samples, "dividing by the samples"))
    return found


def regulariser_recipes(micro_batches: int, divisor: float | None) -> list[Recipe]:
    """The right recipe for a penalty on parameters, with the gradient r, then the usual mistakes; one factor for each.

    divisor  D that the losses of samples are divided by; None where it is not known, or there is none
    """
    k = micro_batches
    found = [
        Recipe("once", "r", (1.0,)),
        Recipe("once per micro-batch", "K r", (float(k),), "adding it in every micro-batch"),
    ]
    if divisor is not None and divisor not in (1, k):
        mistake = "adding it to the losses before they are divided"
        found.append(Recipe("divided with the losses", "K r / D", (k / divisor,), mistake))
    return found


def partitions(samples: int, elementwise: bool = False) -> dict[str, tuple[int, ...]]:
    """Ways to cut a batch, by name, without those that there are not for so few samples.

    elementwise  whether the loss leaves its reduction to others, and cannot treat a sample alone in another way
    """
    found: dict[str, tuple[int, ...]] = {}
    parts = next((k for k in (2, 3, 5) if samples % k == 0), 0)
    if parts:
        found["equal"] = (samples // parts,) * parts
    found["uneven"] = _uneven(samples)
    window = next((m for m in range(max(2, (samples + 3) // 4), samples) if samples % m), 0)
    if window:
        found["partial last window"] = (window,) * (samples // window) + (samples % window,)
    if samples > 2 and not elementwise:
        found["one alone"] = (1, samples - 1)
    return {name: sizes for name, sizes in found.items() if sizes not in _before(found, name)}


def _uneven(samples: int) -> tuple[int, ...]:
    """7, 2 and 4 parts of 13, each at least one sample; 1 and 1 of two."""
    if samples == 2:
        return (1, 1)
    second, third = max(1, round(2 * samples / 13)), max(1, round(4 * samples / 13))
    return (samples - second - third, second, third)


def _before(found: dict[str, tuple[int, ...]], name: str) -> list[tuple[int, ...]]:
    names = list(found)
    return [found[other] for other in names[: names.index(name)]]
