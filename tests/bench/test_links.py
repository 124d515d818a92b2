"""Exchanges between hosts that are network namespaces: real processes, real shaped links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rayat.bench import links
from rayat.bench._network import burst, refusal

REFUSAL = refusal()


def devices() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def namespaces() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.add(os.readlink(process / "ns/net"))
        except OSError:
            continue
    return found


def test_without_root_it_says_so_and_does_nothing(once, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (row,) = links.d1(once)
    assert row.value is None and row.state == "not run"
    assert row.reason.startswith("not run: needs root")


def test_missing_commands_are_named(once, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "")
    (row,) = links.d1(once)
    assert "needs the commands ip, tc, unshare, nsenter" in row.reason


@pytest.mark.slow
@pytest.mark.skipif(bool(REFUSAL), reason=REFUSAL or "-")
def test_bytes_and_seconds_are_those_of_the_shaped_link(once):
    before = devices(), namespaces()
    found = {row.name: row for row in links.d1(once)}
    assert devices() == before[0] and namespaces() <= before[1], "nothing stays behind"
    if "D1" in found:
        pytest.skip(found["D1"].reason)
    assert all(row.value is not None and not row.judged for row in found.values())
    wire = found["D1.100M.m2.bytes"]
    assert wire.low >= 1 and wire.high < 1.1, "the counted bytes and the framing of TCP"
    rates = {name: found[f"D1.100M.m2.{name}"] for name in links.EXCHANGED}
    for row in rates.values():
        # A link lets its first bytes through at once.
        least = max(0, row.context["bytes_per_step"] - burst(12.5e6)) / 12.5e6
        assert row.value / 1000 > 0.9 * least
    assert rates["none"].context["sent_bytes"] > 3.5 * rates["qsgd-7"].context["sent_bytes"]
    # A busy machine may be slower than the link, never faster.
    assert 0 < found["D1.100M.m2.link"].value < 1.1
