"""What a claim must have to be one."""

import pytest

from rayat.claims.claim import Claim, Published, Reading
from rayat.errors import StudyError

NOWHERE = Published(None, "nowhere")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: Reading("sooner", "a", "a", least=1.0), "'a' twice"),
        (lambda: Reading("sooner", "a", "b"), "needs least, most or both"),
        (lambda: Reading("cheaper", "a", "b", least=2.0, most=1.0), "above most=1"),
        (lambda: Published(2.0, ""), "needs its source"),
        (lambda: Claim("A claim", "", NOWHERE, Reading("sooner", "a", "b", 1.0)), "'A claim'"),
    ],
)
def test_what_is_no_claim_is_refused_in_a_sentence(wrong, text):
    with pytest.raises(StudyError, match=text):
        wrong()


def test_a_claim_needs_every_arm_of_its_readings_and_its_controls_first():
    claim = Claim(
        "it",
        "it is",
        NOWHERE,
        honest=Reading("sooner", "it", "full", least=1.0),
        faithful=Reading("cheaper", "it-released", "full", least=1.0),
        also=(Reading("robust", "it", "random", least=0.0),),
        premises=(Reading("cheaper", "few", "it", least=0.9),),
        controls=("short",),
    )
    assert claim.needed == ("full", "random", "it", "short", "it-released", "few")
    assert [arm for arm in claim.needed if claim.is_control(arm)] == [
        "full",
        "random",
        "it",
        "short",
    ]
