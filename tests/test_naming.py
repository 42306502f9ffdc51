"""Class names become spec names."""

from __future__ import annotations

from operator import add
from string import ascii_letters, ascii_uppercase, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import few

from gradcheck.naming import spec_name


@pytest.mark.parametrize(
    ("class_name", "expected"),
    [
        ("Linear", "linear"),
        ("ScaledTanh", "scaled_tanh"),
        ("LSTM", "lstm"),
        ("LSTMCell", "lstm_cell"),
        ("ReLUTwice", "re_lu_twice"),
        ("MyReLU", "my_re_lu"),
        ("BCEWithLogits", "bce_with_logits"),
        ("L1", "l1"),
        ("MaxPool2d", "max_pool2d"),
        ("Conv2D", "conv2_d"),
        ("Scaled_Tanh", "scaled_tanh"),
        ("X", "x"),
        ("already_snake", "already_snake"),
    ],
)
def test_class_names_in_snake_case(class_name, expected):
    assert spec_name(type(class_name, (), {})) == expected


def test_a_class_attribute_wins():
    assert spec_name(type("ReLUTwice", (), {"spec_name": "relu_twice"})) == "relu_twice"


def test_the_attribute_of_a_base_class_does_not_name_its_subclasses():
    base = type("ReLUTwice", (), {"spec_name": "relu_twice"})
    assert spec_name(type("ReLUThrice", (base,), {})) == "re_lu_thrice"


@few
@given(st.builds(add, st.sampled_from(ascii_uppercase), st.text(ascii_letters + digits)))
def test_a_name_keeps_its_letters_and_is_stable(class_name):
    name = spec_name(type(class_name, (), {}))
    assert name.replace("_", "") == class_name.lower()
    assert "__" not in name
    assert spec_name(type(name, (), {})) == name
