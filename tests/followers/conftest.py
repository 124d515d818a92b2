"""Three epochs of one trial, told to a follower's writer."""

from __future__ import annotations

import pytest

from rayat.followers.base import Followed, RunView
from rayat.ledger.status import Status

TRIAL = Followed("0000-abc-s0", "lr.shape=cosine", 0, {"epochs": 3, "lr.shape": "cosine"})


@pytest.fixture
def view(tmp_path):
    return RunView("tiny", "0123456789ab", tmp_path / "there")


@pytest.fixture
def tell():
    """Return a function that tells a new writer of `follower` the epochs first..last."""

    def tell(follower, view, first, last, end=False):
        writer = follower.open(view)
        held = writer.begin(TRIAL)
        for epoch in range(max(first, held + 1), last + 1):
            values = {"val_clean_acc": 0.2 * epoch, "val_robust_acc": 0.1 * epoch}
            writer.report(TRIAL.trial_id, epoch, 1_800_000_000.0 + epoch, values)
        if end:
            writer.end(TRIAL.trial_id, Status.STOPPED, "below the median")
        writer.close()
        return held

    return tell
