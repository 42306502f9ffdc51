"""What holds for every process of a run of the tests."""

from __future__ import annotations

import os
import sys

# The tests start the command and its workers some hundred times. Where Python is told to keep no bytecode, each of them
# compiles gradcheck anew, which takes as long as what it is started for.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
