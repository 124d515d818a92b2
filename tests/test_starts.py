"""What every process that the tests start has, so that hundreds of starts stay cheap."""

from __future__ import annotations

import subprocess
import sys


def test_what_a_module_compiles_to_is_kept_here_and_in_what_is_started():
    """Also where the shell says `PYTHONDONTWRITEBYTECODE`: see tests/conftest.py."""
    told = [sys.executable, "-c", "import sys; print(sys.dont_write_bytecode)"]
    done = subprocess.run(told, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), sys.dont_write_bytecode) == ("False", False)
