"""A claim as data: which arms, against which controls, what was published, what would refute it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rayat.errors import StudyError

NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")

Quantity = Literal["sooner", "cheaper", "robust"]
Counted = Literal["passes", "seconds", "bytes", "attack_steps"]


@dataclass(frozen=True)
class Published:
    """What the paper says.

    Attributes:
        value: a factor, or a difference of accuracies as a fraction; None where no figure that can
            be trusted is at hand: blank stays blank.
        source: where it stands, as docs/papers.md gives it.
    """

    value: float | None
    source: str

    def __post_init__(self) -> None:
        if not self.source:
            raise StudyError("a published value needs its source, also where it is blank")


@dataclass(frozen=True)
class Reading:
    """One quantity of an arm beside a control, and the range in which the claim holds.

    Attributes:
        quantity: `sooner`, the control's cost to the study's target over the arm's; `cheaper`, the
            control's cost of the whole training over the arm's; `robust`, the arm's robust accuracy
            minus the control's, a fraction.
        arm, control: names of the study's arms.
        least, most: the claim holds where the whole interval lies between them; at least one.
        counted: of `cheaper`, what is counted: `passes` of training and selection, `seconds` of
            both, `bytes` that one worker sends, `attack_steps` an image. `sooner` counts passes,
            with the validation that drives decisions (docs/compare.md).
        checkpoint: of `robust`.
        chosen_by: of `robust`, `validation`: the checkpoint was chosen on other images than those
            that it is tested on; `itself`: the figure is that of the images that chose the
            checkpoint, the leak of a code that selects on its test set.
        says: how the figure was taken, for the notes.
    """

    quantity: Quantity
    arm: str
    control: str
    least: float | None = None
    most: float | None = None
    counted: Counted = "passes"
    checkpoint: Literal["best", "last"] = "best"
    chosen_by: Literal["validation", "itself"] = "validation"
    says: str = ""

    def __post_init__(self) -> None:
        if self.arm == self.control:
            raise StudyError(f"a reading compares two arms, got {self.arm!r} twice")
        if self.least is None and self.most is None:
            raise StudyError(f"a reading of {self.arm!r} needs least, most or both")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise StudyError(f"least={self.least:g} is above most={self.most:g}: swap them")


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper that a run can judge.

    The verdict is that of `honest` and of all of `also`; `faithful` stands beside it.

    Attributes:
        name: in the table. says: the claim.
        published: the paper's figure. faithful: as its authors measured; None where that is the
            honest one.
        honest: with a matched control, decisions on the validation split, every cost counted.
        also: what must hold besides, such as an accuracy that is kept.
        premises: without which the claim cannot be shown, such as controls of equal passes: where
            one does not hold there is no other verdict than `not shown`.
        controls: arms without which there is no verdict, besides those of the readings.
        fails: what is said where the claim did not hold.
    """

    name: str
    says: str
    published: Published
    honest: Reading
    faithful: Reading | None = None
    also: tuple[Reading, ...] = ()
    premises: tuple[Reading, ...] = ()
    controls: tuple[str, ...] = ()
    fails: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise StudyError(f"a claim's name may hold a-z, 0-9, . and -, got {self.name!r}")

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Return all readings, the faithful one first."""
        return tuple(filter(None, (self.faithful, self.honest, *self.also, *self.premises)))

    @property
    def arm(self) -> str:
        """Return the arm that the claim is about."""
        return self.honest.arm

    @property
    def needed(self) -> tuple[str, ...]:
        """Return all arms that must have run for a verdict: the controls, then the arms."""
        controls = [*(reading.control for reading in self.readings), *self.controls]
        return tuple(dict.fromkeys([*controls, *(reading.arm for reading in self.readings)]))

    def is_control(self, arm: str) -> bool:
        """Return whether the arm is needed as a control."""
        return arm in self.controls or arm in {reading.control for reading in self.readings}
