"""Cool-down probes: what a trial would be worth if its learning rate fell now (docs/probe.md)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from rayat.columns import Column

PROBE_PASSES = "probe_passes"
"""The column of what a probe costs."""


class ProbeConfig(BaseModel):
    """After which epochs probes are trained, and how long."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    at: tuple[int, ...] = Field((), description="epochs after which a probe is trained; (): none")
    epochs: int = Field(2, ge=1, description="length of a probe, in which the rate falls to 0")

    kind: ClassVar[str] = "cool-down"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("probe_clean_acc", "float", "share", "clean accuracy on the validation split"),
        Column("probe_robust_acc", "float", "share", "the same under the validation attack"),
        Column(PROBE_PASSES, "int", "passes", "of the probe, among those of validation"),
        Column("probe_seconds", "float", "s", "of the probe, among those of validation"),
    )

    def check(self, epochs: int, average: str) -> None:
        """Refuse probes that do not fit a training of so many epochs and its mean of the weights.

        Raises:
            ValueError: in a sentence.
        """
        last = epochs - self.epochs
        if list(self.at) != sorted({epoch for epoch in self.at if 1 <= epoch <= last}):
            raise ValueError(
                f"probe.at must be rising epochs from 1 to {last}, so that probe.epochs="
                f"{self.epochs} are left of epochs={epochs}, got {list(self.at)}"
            )
        if self.at and average != "none":
            raise ValueError(
                "probe.at must be empty with a mean of the weights, which is a cool-down itself, "
                f"got weights.average={average!r}"
            )
