"""Which benchmarks there are, and running those that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from rayat.bench.costs import b7
from rayat.bench.finished import b9
from rayat.bench.gpu import NO_GPU, gpu
from rayat.bench.links import d1
from rayat.bench.loading import b10
from rayat.bench.matching import b11
from rayat.bench.packing import b12
from rayat.bench.parity import b13
from rayat.bench.peak import b6
from rayat.bench.rows import BenchRow
from rayat.bench.slowdowns import s1, s2, s3
from rayat.bench.steps import b1, b2, b3, b4, b5, b8
from rayat.bench.timing import Settings
from rayat.errors import ConfigError, nearest
from rayat.training.process import prepare_process


@dataclass(frozen=True)
class Benchmark:
    """One group of rows.

    Attributes:
        claim: what it measures. run: gives its rows.
        extra: the option without which it runs only if it is named; empty: it always runs.
    """

    claim: str
    run: Callable[[Settings], list[BenchRow]]
    extra: str = ""


def _on_gpu(settings: Settings) -> list[BenchRow]:
    if not torch.cuda.is_available():
        return [BenchRow("G", "the engine on a GPU", reason=NO_GPU)]
    return gpu(settings)


ENGINE: dict[str, Benchmark] = {
    "B1": Benchmark("PGD-10 step of the plain CNN against two loops", b1),
    "B2": Benchmark("PGD-10 step of PreActResNet-18 width 16 against two loops", b2),
    "B3": Benchmark("PGD-10 step of PreActResNet-18 against two loops", b3),
    "B4": Benchmark("epochs of the Fashion net against two loops", b4),
    "B5": Benchmark("epochs of the digits net against two loops", b5),
    "B6": Benchmark("share of the machine's convolution rate", b6),
    "B7": Benchmark("what attacks cost in clean steps", b7),
    "B8": Benchmark("TRADES-10 step against the published loop", b8),
    "B9": Benchmark("dynamic PGD whose finished samples leave, against PGD-10", b9),
    "B10": Benchmark("loading against torchvision", b10),
    "B11": Benchmark("orthogonal matching pursuit against the published solver", b11),
    "B12": Benchmark("two trials on two cores", b12),
    "B13": Benchmark("robust accuracy of what was trained, against torchattacks", b13),
    "S1": Benchmark("torch.compile on the CPU", s1, "--slowdowns"),
    "S2": Benchmark("bf16 on tiny networks", s2),
    "S3": Benchmark("finished samples that leave the batch", s3),
    "D1": Benchmark("gradient exchanges over links of 1 Gbit/s and 100 Mbit/s", d1, "--links"),
    "G": Benchmark("the engine on a GPU", _on_gpu, "--gpu"),
}


def choose(
    known: dict[str, Benchmark], names: Sequence[str], extras: Sequence[str]
) -> dict[str, Benchmark]:
    """Return the named benchmarks, or without names all but the extras that were not asked for.

    Args:
        names: such as `B1`; upper or lower case. extras: options given, such as `--gpu`.

    Raises:
        ConfigError: an unknown name, with the nearest one.
    """
    for name in names:
        if name.upper() not in known:
            raise ConfigError(
                f"unknown benchmark {name!r}{nearest(name.upper(), known)}; "
                f"known: {', '.join(known)}"
            )
    wanted = {name.upper() for name in names}
    groups = set(extras) if wanted else {"", *extras}
    return {k: v for k, v in known.items() if k in wanted or v.extra in groups}


def rows(chosen: dict[str, Benchmark], settings: Settings) -> Iterator[tuple[str, list[BenchRow]]]:
    """Yield each benchmark's name and rows; this process is set up as a trial's with one thread."""
    for name, benchmark in chosen.items():
        prepare_process(threads=1)
        yield name, benchmark.run(settings)
