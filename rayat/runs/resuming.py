"""What is asked before a run goes on: what runs again, and what has changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rayat.errors import ConfigError, LedgerError, nearest, quoted
from rayat.ledger.merging import merged
from rayat.ledger.provenance import describe_environment
from rayat.ledger.writer import Ledger
from rayat.registry import POLICIES


def refuse_merged(folder: Path, info: Mapping[str, Any]) -> None:
    """Refuse to go on with a run of several that a policy judged apart: it would judge them anew.

    Raises:
        LedgerError: with the runs that can go on.
    """
    parts = merged(info)
    if parts and not POLICIES.build(info["study"]["policy"]).alone:
        runs = " and ".join(quoted(part["run"]) for part in parts)
        raise LedgerError(
            f"{folder} was merged of runs that policy {info['study']['policy']['name']} judged "
            f"apart, so it cannot go on as one; go on with {runs}, and merge again"
        )


def refuse_an_empty(ledger: Ledger) -> None:
    """Refuse to go on with a run that was ended before its trials were written down.

    Raises:
        LedgerError: with what begins it.
    """
    if not ledger.trials():
        raise LedgerError(
            f"{ledger.folder} was ended before its trials were written down, so there is nothing "
            f"to go on with; run its study again with --out {quoted(ledger.folder)}"
        )


def to_retry(ledger: Ledger, named: Sequence[str]) -> list[str]:
    """Return the trials to retry; `failed` among the names stands for all that may be.

    Raises:
        ConfigError: an unknown trial, one that neither failed nor was lost, or none that did.
    """
    known = {trial_id: ledger.status(trial_id) for trial_id in ledger.trials()}
    broken = [trial_id for trial_id, status in known.items() if status.is_broken]
    for name in named:
        if name == "failed" and not broken:
            raise ConfigError(f"--retry failed: no trial of {ledger.folder} failed or was lost")
        if name != "failed" and name not in known:
            raise ConfigError(
                f"--retry {name}: no such trial{nearest(name, known)}; "
                f"`rayat status {quoted(ledger.folder)}` lists them"
            )
        if name != "failed" and name not in broken:
            raise ConfigError(
                f"--retry {name}: the trial is {known[name]}; only one that failed or was lost can "
                "run again"
            )
    return [trial_id for trial_id in broken if "failed" in named or trial_id in named]


def other_packages(ledger: Ledger) -> str:
    """Return a warning that names what changed since the run was last driven; empty if nothing.

    Asked before this process is recorded (the event `resumed`): each change is said once.
    """
    told = [e["payload"] for e in ledger.events() if e["name"] == "resumed"]
    then = (told[-1] if told else ledger.info).get("environment") or {}
    now = describe_environment()
    pairs = [(name, then.get(name), now[name]) for name in ("rayat", "python")]
    packages = then.get("packages") or {}
    pairs += [(name, packages.get(name, new), new) for name, new in now["packages"].items()]
    changed = [f"{name} {old} -> {new}" for name, old, new in pairs if old not in (None, new)]
    if not changed:
        return ""
    return (
        f"other versions than the run had: {', '.join(changed)}; its later epochs may not be "
        "what they would have been"
    )
