"""Offline files of Weights & Biases, read back by its own reader."""

from __future__ import annotations

import json

import pytest

from rayat.registry import FOLLOWERS

pytest.importorskip("wandb", reason="Weights & Biases: an extra, too heavy for the test set")


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_writes_its_offline_files_again(tell, view):
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    follower = FOLLOWERS.build("wandb")
    tell(follower, view, 1, 2)  # and was killed
    assert tell(follower, view, 1, 3, end=True) == 0
    (path,) = view.folder.glob("**/*.wandb")
    store, steps = DataStore(), []
    store.open_for_scan(str(path))
    while (data := store.scan_data()) is not None:
        items = Record.FromString(data).history.item
        row = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
        if row:
            steps.append((row["_step"], round(row["val_robust_acc"], 6)))
    assert steps == [(1, 0.1), (2, 0.2), (3, 0.3)]
