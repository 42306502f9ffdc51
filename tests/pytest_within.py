"""What runs of pytest within this process need.

What is loaded before such a run outlives it; what it loads itself the next one loads again, which takes its time, and
which numpy refuses. So everything is loaded here.
"""

from __future__ import annotations

from importlib.metadata import entry_points

import numpy as np

import gradcheck
import gradcheck.cli
import gradcheck.spec.read

#: Where the project is not installed as it is now, pytest has to be told of its plugin.
_LOADED = any(each.name == "gradcheck" for each in entry_points(group="pytest11"))
OPTIONS = ("-p", "no:hypothesispytest", *(() if _LOADED else ("-p", "gradcheck.pytest_plugin")))

gradcheck.check_network(["relu"], np.ones((2, 2)), "mse", target=np.zeros((2, 2)))
