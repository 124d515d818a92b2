"""Which statuses mean what, one by one: everyone who reads a ledger asks them."""

from __future__ import annotations

import pytest

from rayat.errors import LedgerError
from rayat.ledger.log import MAGIC, encode, read_log
from rayat.ledger.state import State
from rayat.ledger.status import Status


@pytest.mark.parametrize(
    ("means", "names"),
    {
        "is_live": "pending running interrupted",
        "is_final": "finished stopped diverged collapsed failed lost",
        "is_broken": "failed lost",
        "is_measurable": "finished stopped diverged collapsed",
        "is_sound": "running paused interrupted finished stopped collapsed",
    }.items(),
)
def test_each_property_holds_for_these_and_no_others(means, names):
    assert {status for status in Status if getattr(status, means)} == set(names.split())


def test_a_log_with_an_end_that_is_none_is_refused_by_its_record(tmp_path):
    records = [
        {"kind": "trial", "trial": {"trial_id": "a"}},
        {"kind": "end", "trial_id": "a", "status": "gone", "reason": None},
    ]
    path = tmp_path / "log"
    path.write_bytes(MAGIC + b"".join(encode({"fence": 1, "at": 0, **r}) for r in records))
    with pytest.raises(LedgerError, match=r"record 2 .* 'gone' is not a valid Status"):
        read_log(path, State().apply)


def test_a_status_is_shown_as_it_is_stored():
    assert f"{ {Status.FINISHED: 2} }" == "{'finished': 2}"
