"""Signs of a robust accuracy that is too high reach the reader of a comparison."""

from __future__ import annotations

import json
from html import escape

import pytest

from rayat.compare.render import markdown
from rayat.compare.table import compare
from rayat.report.write import report

SIGNS = {
    "not_finite": {"images": 7.0, "robust at least": 0.4, "robust at most": 0.5},
    "zero_gradient": {"of those attacked": 0.9, "robust with one at least": 0.1},
    "bounded_outputs": {"of all outputs in [0, 1]": 1.0},
    "squashed_outputs": {"of the images": 0.6, "apart": 2.0},
    "fgsm_above_pgd": {"fgsm at 0.1": 0.7, "pgd-20 at 0.1": 0.2},
}


@pytest.mark.parametrize("sign", SIGNS)
def test_a_sign_in_one_trials_rows_is_a_note_of_its_arm_alone(builder, sign):
    for seed in range(3):
        for arm in ("pgd", "fgsm"):
            builder.trial(arm, seed, [0.1, 0.5, 0.6], test=(0.8, 0.5))
    for row in builder.evals:
        if row["trial_id"] == builder.evals[-1]["trial_id"]:
            row["flags_json"] = json.dumps({sign: SIGNS[sign]})
            if sign == "not_finite":
                row |= {"robust_acc": None, "unmeasured": 7}
    run = builder.build()
    comparison = compare(run, "pgd")
    (note,) = comparison.notes
    assert note in markdown(comparison)
    assert escape(note) in report(run, comparison)
    assert note.startswith("fgsm: robust accuracy may be too high, as 1 trial gave a warning")
