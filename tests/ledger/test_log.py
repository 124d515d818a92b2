from __future__ import annotations

import random
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.errors import LedgerError
from rayat.ledger import log as log_module
from rayat.ledger.log import HEAD, LOG, MAGIC, Log, encode, read_log


def record(number, text="x"):
    return {"fence": 1, "kind": "event", "number": number, "text": text}


@pytest.fixture
def folder(tmp_path):
    log = Log.open(tmp_path, lambda r: None)
    for number in range(6):
        log.append(record(number, "a sentence of some length, with spaces " * 2))
    log.close()
    return tmp_path


def read(path):
    seen = []
    extent = read_log(path, seen.append)
    return extent, seen


def test_records_come_back_in_order(folder):
    extent, seen = read(folder / LOG)
    assert [r["number"] for r in seen] == list(range(6))
    assert (extent.records, extent.torn, extent.damage) == (6, 0, None)
    assert extent.bytes == (folder / LOG).stat().st_size


def test_append_returns_the_number_and_goes_on_after_reopening(folder):
    log = Log.open(folder, lambda r: None)
    assert log.append(record(6)) == 7
    log.close()
    assert len(read(folder / LOG)[1]) == 7


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(),
            lambda below: st.lists(below) | st.dictionaries(st.text(), below),
            max_leaves=5,
        ),
    )
)
def test_any_json_survives(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.rlog"
    path.write_bytes(MAGIC + encode({"fence": 3, "kind": "event", "payload": content}))
    extent, seen = read(path)
    assert extent.damage is None and extent.torn == 0
    assert seen == [{"fence": 3, "kind": "event", "payload": content}]


def test_cut_at_every_byte_of_the_last_records_goes_on(folder):
    data = (folder / LOG).read_bytes()
    ends = [len(MAGIC)]
    while ends[-1] < len(data):
        (length,) = struct.unpack_from("<I", data, ends[-1])
        ends.append(ends[-1] + HEAD.size + length)
    rng = random.Random(0)
    cuts = [*range(ends[-4], len(data)), *(rng.randrange(len(data)) for _ in range(300))]
    for cut in cuts:
        (folder / LOG).write_bytes(data[:cut])
        seen = []
        log = Log.open(folder, seen.append)
        whole = sum(end <= cut for end in ends) - 1
        assert len(seen) == max(whole, 0)
        assert log.torn == (cut - ends[whole] if whole >= 0 else cut)
        log.append(record(99))
        log.close()
        extent, again = read(folder / LOG)
        assert extent.torn == 0 and extent.damage is None
        assert [r["number"] for r in again] == [r["number"] for r in seen] + [99]
    print(f"torn logs: {len(cuts)} cuts, {len(cuts)} went on")


def test_blocks_never_written_are_a_torn_tail(folder):
    data = (folder / LOG).read_bytes()
    for tail in (b"\0" * 4096, encode(record(7))[:20] + b"\0" * 100, struct.pack("<II", 90, 5)):
        (folder / LOG).write_bytes(data + tail)
        assert read(folder / LOG)[0].torn == len(tail)


def test_every_flipped_bit_is_damage(folder, size):
    path = folder / LOG
    data = path.read_bytes()
    rng = random.Random(1)
    last = len(data) - 60
    places = [(rng.randrange(len(data)), rng.randrange(8)) for _ in range(size(1000, 10_000))]
    places += [(byte, bit) for byte in range(last, len(data)) for bit in range(8)]
    places += [(byte, bit) for byte in range(len(MAGIC) + HEAD.size) for bit in range(8)]
    silent = 0
    for byte, bit in places:
        flipped = bytearray(data)
        flipped[byte] ^= 1 << bit
        path.write_bytes(flipped)
        silent += read(path)[0].damage is None
    print(f"log: {len(places)} flips, {silent} silent")
    assert silent == 0


def test_flips_in_the_last_record_are_not_taken_for_a_torn_tail(folder):
    path = folder / LOG
    data = path.read_bytes()
    start = data.rindex(b'{"fence":') - HEAD.size
    for byte in range(start, len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[byte] ^= 1 << bit
            path.write_bytes(flipped)
            assert read(path)[0].damage, (byte - start, bit)


def test_damage_in_the_middle_names_file_place_and_cure(folder):
    data = bytearray((folder / LOG).read_bytes())
    data[len(MAGIC) + 20] ^= 4
    (folder / LOG).write_bytes(data)
    with pytest.raises(
        LedgerError, match=r"000001.rlog: record 1 at byte 8 is damaged; `rayat rep"
    ):
        Log.open(folder, lambda r: None)
    assert (folder / LOG).read_bytes() == bytes(data)


def test_a_foreign_file_is_refused(folder):
    (folder / LOG).write_bytes(b"trial,epoch\n1,2\n")
    with pytest.raises(LedgerError, match="not a rayat log"):
        Log.open(folder, lambda r: None)


@pytest.mark.parametrize("code", ["ENOSPC", "EIO", "EDQUOT"])
def test_a_failed_write_leaves_the_log_valid_and_usable(folder, faulty_os, code):
    import errno

    log = Log.open(folder, lambda r: None)
    with faulty_os(None) as calls:
        log.append(record(6))
        count = calls.calls
    for at in range(1, count + 1):
        before = (folder / LOG).read_bytes()
        with (
            faulty_os(at, crash=False, code=getattr(errno, code)),
            pytest.raises(LedgerError, match=r"000001.rlog: cannot append: .*kept"),
        ):
            log.append(record(7))
        assert (folder / LOG).read_bytes() == before
        log.append(record(8))
    log.close()
    assert [r["number"] for r in read(folder / LOG)[1]] == [0, 1, 2, 3, 4, 5, 6] + [8] * count


def test_a_log_that_cannot_even_be_truncated_heals_at_the_next_append(folder, monkeypatch):
    import os

    log = Log.open(folder, lambda r: None)

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        real = os.write
        patch.setattr(
            os, "write", lambda fd, data: full() if len(data) < 30 else real(fd, data[:-9])
        )
        patch.setattr(os, "ftruncate", full)
        with pytest.raises(LedgerError, match="free some space and resume"):
            log.append(record(6, "long " * 20))
        with pytest.raises(LedgerError, match="cannot truncate"):
            log.append(record(6))
    log.append(record(7))
    log.close()
    assert [r["number"] for r in read(folder / LOG)[1]] == [0, 1, 2, 3, 4, 5, 7]


def test_a_record_that_is_too_long_is_refused(folder, monkeypatch):
    monkeypatch.setattr(log_module, "MAX_RECORD", 1000)
    log = Log.open(folder, lambda r: None)
    with pytest.raises(LedgerError, match="is too long, at most 1000"):
        log.append(record(6, "x" * 2000))
    log.close()
    with pytest.raises(LedgerError, match="the log is closed"):
        log.append(record(6))


def test_nothing_that_is_not_json_gets_in():
    with pytest.raises(ValueError, match="JSON"):
        encode({"fence": 1, "x": float("nan")})
    with pytest.raises(ValueError, match="starts with its fence"):
        encode({"kind": "event", "fence": 1})


def test_reading_a_hundred_thousand_records_costs_no_more_each_than_reading_few(tmp_path):
    one, cost = encode(record(1, "x" * 400)), {}
    for count in (10_000, 100_000):
        path = tmp_path / f"{count}.rlog"
        path.write_bytes(MAGIC + one * count)
        runs = []
        for _ in range(2):
            start = time.process_time()
            assert read_log(path, lambda r: None).records == count
            runs.append(time.process_time() - start)
        cost[count] = min(runs) / count
    print(f"log: 100000 records read in {cost[100_000] * 100_000:.2f} s of CPU time")
    assert cost[100_000] < 3 * cost[10_000]
