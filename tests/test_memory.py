"""Freed memory goes back to the system."""

import subprocess
import sys

import pytest

_PROGRAM = """
import numpy as np
from galaxies.memory import return_freed_memory
return_freed_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
blocks = [np.ones(8 << 20, np.uint8) for _ in range(20)]
last = np.ones(1 << 10, np.uint8)
held = resident()
del blocks
print(held - before > 150e6, resident() - before < 20e6)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and glibc alone has this setting")
def test_large_blocks_are_given_back_when_they_are_freed() -> None:
    printed = subprocess.run([sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True).stdout
    assert printed.split() == ["True", "True"]
