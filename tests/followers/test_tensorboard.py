"""Event files, read back record by record with their checksums."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event

from rayat.registry import FOLLOWERS


def masked(data: bytes) -> int:
    value = crc32c(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def events(path: Path) -> list[Event]:
    """Return a file's events: length, its checksum, the record, its checksum, again and again."""
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        length, check = struct.unpack_from("<QI", data, at)
        assert check == masked(data[at : at + 8])
        record = data[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == masked(record)
        found.append(Event.FromString(record))
        at += 16 + length
    return found


def scalars(folder: Path) -> list[tuple[str, int, float, float]]:
    files = sorted(folder.glob("0000-abc-s0/events*"))
    return sorted(
        (value.tag, event.step, round(value.simple_value, 6), event.wall_time)
        for path in files
        for event in events(path)
        for value in event.summary.value
        if value.HasField("simple_value")
    )


EXPECTED = sorted(
    (name, epoch, round(factor * epoch, 6), 1_800_000_000.0 + epoch)
    for name, factor in (("val_clean_acc", 0.2), ("val_robust_acc", 0.1))
    for epoch in (1, 2, 3)
)


def test_every_epoch_is_a_scalar_at_its_step_and_time(tell, view):
    assert tell(FOLLOWERS.build("tensorboard"), view, 1, 3, end=True) == 0
    assert scalars(view.folder) == EXPECTED
    texts = {
        value.tag: value.tensor.string_val[0].decode()
        for path in view.folder.glob("*/events*")
        for event in events(path)
        for value in event.summary.value
        if value.tensor.string_val
    }
    assert '"lr.shape": "cosine"' in texts["config/text_summary"]
    assert texts["end/text_summary"] == "stopped: below the median"


def test_a_resumed_run_writes_the_files_again_and_doubles_nothing(tell, view):
    follower = FOLLOWERS.build("tensorboard")
    tell(follower, view, 1, 2)  # and was killed
    assert tell(follower, view, 1, 3, end=True) == 0
    assert scalars(view.folder) == EXPECTED


def test_tensorboard_itself_reads_them(tell, view):
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard: an extra"
    )
    tell(FOLLOWERS.build("tensorboard"), view, 1, 3, end=True)
    found = reader.EventAccumulator(str(view.folder / "0000-abc-s0")).Reload()
    assert [event.step for event in found.Scalars("val_robust_acc")] == [1, 2, 3]
    assert found.Scalars("val_robust_acc")[2].value == pytest.approx(0.3)
