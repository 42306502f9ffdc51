"""The name that a class goes by in a spec."""

from __future__ import annotations


def spec_name(kind: type) -> str:
    """`ScaledTanh` -> `scaled_tanh`; runs of capitals stay together; a class attribute `spec_name` wins."""
    own = vars(kind).get("spec_name")
    if isinstance(own, str):
        return own
    name = kind.__name__
    following = [*name[1:], ""]
    words = ""
    for i, (letter, after) in enumerate(zip(name, following, strict=True)):
        starts_word = i > 0 and letter.isupper() and (not name[i - 1].isupper() or after.islower())
        words += ("_" if starts_word and name[i - 1] != "_" else "") + letter.lower()
    return words
