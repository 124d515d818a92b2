"""The policy contract: one report in, one decision out; no Ray, no clock, no randomness.

`policies.host.Host` calls a policy in this order: `asked` with what the study compares and `expect`
with every trial of the run, before the first report; for each report `told`, then `observe` unless
the trial diverged or collapsed by it; `ended` for a trial that ended otherwise than by the policy
(it finished, diverged or collapsed; a policy that `pauses` is also told of what failed or was
lost); and after each `observe` or `ended` `verdicts`, whose `continue` resumes a paused trial from
its last checkpoint and whose `stop` ends it. Without `expect` nothing is paused.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from rayat.registry import Part

if TYPE_CHECKING:
    from rayat.policies.question import Question

Action = Literal["continue", "stop", "pause"]


@dataclass(frozen=True)
class TrialView:
    """What a policy may know of a trial: its name, its configuration tree and its length.

    `rates` is the learning rate at the end of each epoch 1..epochs where it was recorded and is no
    function of a configuration (curves from elsewhere); it must have been known in advance.
    """

    trial_id: str
    config: Mapping[str, Any]
    epochs: int
    arm: str = ""
    rates: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Decision:
    """A verdict with the rule that gave it, a sentence for a person, and the numbers behind it."""

    action: Action = "continue"
    rule: str = ""
    sentence: str = ""
    evidence: Mapping[str, float | int | str | None] = field(default_factory=dict)


CONTINUE = Decision()


class Policy(Part):
    """Decides after each report whether a trial goes on.

    The parameters are frozen; the state lives in private attributes and is a function of the
    `observe` calls in order, so that replaying the ledger rebuilds it exactly.
    """

    alone: ClassVar[bool] = False
    """Whether it judges every trial by itself: nothing that others report changes a decision."""

    before: ClassVar[Mapping[str, Any]] = {}
    """What parameters were in runs whose record does not have them yet."""

    @property
    def asks_probes(self) -> bool:
        """Whether it judges by cool-down probes, which trials then need (`probe.at`)."""
        return False

    @property
    def pauses(self) -> bool:
        """Whether it may pause trials; it then waits for all that were announced to it."""
        return False

    if not TYPE_CHECKING:  # as in pydantic: a checker knows the attributes by their names

        def __getattr__(self, name: str) -> Any:
            """Return a private attribute; pydantic's own way takes most of a cheap decision."""
            held = object.__getattribute__(self, "__pydantic_private__")
            if held is not None and name in held:
                return held[name]
            return super().__getattr__(name)

    def fresh(self) -> Self:
        """Return a policy with the same parameters and no state."""
        return type(self)(**self.model_dump())

    @abstractmethod
    def observe(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Take one durable report and decide.

        Args:
            trial: the trial that reported.
            epoch: its epoch, 1-based; each (trial, epoch) is observed once, in the ledger's order.
            metrics: the report's row; a value may be None where it was not measured.
            metric: the key of `metrics` to judge by; larger is better. A missing or non-finite
                value never enters a comparison and gives `continue`.
        """

    def earliest(self, epochs: int) -> int:
        """Return the first epoch after which it may end or pause a trial of so many epochs."""
        return 1

    def idle(self, epochs: int, every: int) -> str:
        """Return why it never acts on trials of this length; empty where it may.

        Args:
            epochs: of a trial. every: how many of them lie between two validations.
        """
        first, last = self.earliest(epochs), (epochs - 1) // every * every
        if first <= last:
            return ""
        end = f"the last validation before the end is after epoch {last}"
        end = end if last else "nothing is validated before the end"
        return (
            f"policy {self.kind} acts after epoch {first} at the earliest, and with "
            f"epochs={epochs} {end}, so it never stops a trial; lower that epoch, lower "
            "eval.every, or train longer"
        )

    def dropped(self, trial: TrialView) -> str:
        """Return why a trial that has not started need not; empty where it must.

        Asked under `order="successive-seeds"` alone, before a trial gets a worker.
        """
        return ""

    def closed(self, ends: str) -> bool:
        """Return whether its stops hold for the announced seeds alone: then none can be added.

        Args:
            ends: what the trials are for (`Question.ends`).
        """
        return False

    def asked(self, question: Question) -> None:
        """Learn what the study compares; called once, before `expect`. Does nothing."""

    def order(self, trials: Sequence[TrialView]) -> Sequence[TrialView]:
        """Return trials that wait for their start, the next one first; the default: as declared."""
        return trials

    def told(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str, whole: bool
    ) -> None:
        """Learn of a report, also of one that `observe` is not asked about. Does nothing.

        Args:
            trial, epoch, metrics, metric: as for `observe`, which follows.
            whole: whether the trial has ended by itself with this report: it trained to its end,
                diverged, or collapsed where that ends it.
        """

    def expect(self, trials: Sequence[TrialView]) -> None:
        """Learn which trials the run has; called once, before the first report. Does nothing."""

    def ended(self, trial_id: str) -> None:
        """Learn that a trial ended otherwise than by this policy. Does nothing."""

    def verdicts(self) -> Mapping[str, Decision]:
        """Return the decisions on paused trials that have come due, each of them once.

        Keys are trial ids in the order in which they should go on; `continue` with a rule resumes
        the trial, `stop` ends it. The default pauses nothing and returns nothing.
        """
        return {}
