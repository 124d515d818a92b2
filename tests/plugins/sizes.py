"""How many tries a test makes: enough for CI, and as many as a release deserves."""

from __future__ import annotations

import os

LONG = "RAYAT_LONG"
"""Set by `make torture LONG=1`: the sizes for a release."""


def tries(usual: int, long: int) -> int:
    """Return the number of tries: `usual` in CI, `long` in the long run."""
    return long if os.environ.get(LONG) else usual
