"""What is asked before a run goes on."""

from __future__ import annotations

import pytest

from rayat.api.sweep import resume
from rayat.errors import LedgerError
from rayat.ledger.writer import Ledger
from rayat.runs import resuming
from rayat.runs.record import run_info


def test_a_resume_with_other_packages_names_them_once(tiny, tmp_path, monkeypatch):
    info = run_info(tiny(), [], None, ["test"])
    with Ledger.create(tmp_path / "run", info) as ledger:
        assert resuming.other_packages(ledger) == ""
        now = resuming.describe_environment()
        newer = {**now, "packages": {**now["packages"], "torch": "9.0"}}
        monkeypatch.setattr(resuming, "describe_environment", lambda: newer)
        said = resuming.other_packages(ledger)
        assert said.startswith(f"other versions than the run had: torch {now['packages']['torch']}")
        assert "-> 9.0; its later epochs may not be" in said
        ledger.event("resumed", {"environment": newer})
        assert resuming.other_packages(ledger) == ""


def test_a_run_that_ended_before_its_trials_were_written_is_not_resumed_as_one_of_none(
    tiny, tmp_path
):
    with Ledger.create(tmp_path / "run", run_info(tiny(), [], None, ["test"])):
        pass
    with pytest.raises(LedgerError, match="there is nothing to go on with; run its study again"):
        resume(tmp_path / "run")
