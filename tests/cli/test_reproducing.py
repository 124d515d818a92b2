"""`rayat reproduce` before anything is trained: what it refuses, and what it says of a machine."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("sdj",), "no paper 'sdj' to reproduce (did you mean 'sdi'?)"),
        (("sdi", "--smoke", "--full"), "--smoke and --full are tiers of one study; give one"),
        (("combined", "--full"), "combined has no tier 'full'"),
        (("sdi", "--data", "cifar11"), "cifar11"),
        (("sdi", "--full", "--gpus", 0, "--dry-run"), "no node has that"),
    ],
)
def test_what_cannot_be_reproduced_is_one_sentence(rayat, tmp_path, words, text):
    result = rayat("reproduce", *words, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert text in result.stderr and len(result.stderr.splitlines()) == 1
    assert result.stdout == "" and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_described_machine_has_passes_and_no_seconds(rayat, tmp_path):
    words = ("reproduce", "accelat", "--full", "--dry-run", "--gpus", 4, "--cpus", 32)
    words += ("--out", tmp_path / "run")
    text = rayat(*words).stdout
    assert "32 CPUs, 4 GPUs, 1 nodes; 4 trials at once" in text
    assert "trials    30: 10 arms, seeds 0, 1, 2" in text
    assert "described and not this one" in text and "\ntime" not in text
