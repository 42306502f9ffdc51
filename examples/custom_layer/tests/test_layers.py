"""The layers on their own. pytest collects specs/*.gradcheck.yaml, too."""

import numpy as np
import pytest
from custom_layer.layers import FeatureScale, LearnedSwish

import gradcheck


@pytest.mark.parametrize("layer", [LearnedSwish(), FeatureScale()])
def test_backward_is_the_derivative_of_forward(layer):
    x = np.random.default_rng(0).standard_normal((5, 4))
    gradcheck.assert_layer(layer, x)
