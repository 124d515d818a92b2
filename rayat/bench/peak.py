"""B6: how much of the machine's convolution rate the engine turns into training."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from rayat.bench import cases
from rayat.bench.cases import Case, Engine
from rayat.bench.machine import fast_bf16, load
from rayat.bench.rows import Bar, BenchRow, measured
from rayat.bench.timing import Settings, interleave

LEAST_FLOP = 2e9
"""A convolution is repeated until one timing holds this much work, about 10 ms of one core."""


@dataclass(frozen=True)
class Layer:
    """One convolution of a network, as it is met in a forward pass.

    Attributes:
        inputs: shape (C, H, W) of one image's features. weight: shape (O, C / groups, kh, kw).
        flop: of one image's forward pass, 2 for a multiplication with its addition.
    """

    inputs: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    flop: int


def b6(settings: Settings) -> list[BenchRow]:
    """Measure the rate of PGD-10 training beside that of the network's own convolutions."""
    batch = settings.pick(128, 4)
    nets = [
        (cases.cifar("CNN", cases.CNN, batch, batch), 0.70),
        (cases.cifar("PreActResNet-18 width 16", cases.PREACT18_W16, batch, batch), 0.55),
        (cases.cifar("PreActResNet-18 width 64", cases.PREACT18, *[settings.pick(16, 1)] * 2), 0.7),
    ]
    return [
        utilisation(f"B6.{letter}", case, Bar(limit), settings)
        for letter, (case, limit) in zip("abc", nets, strict=True)
    ]


def utilisation(name: str, case: Case, bar: Bar, settings: Settings) -> BenchRow:
    """Return the useful rate of the engine over the best rate of the network's convolutions.

    Useful is the floor of PGD-K: per image K forward passes and K input gradients, and one training
    step of 3, each as dear as a forward pass. The peak is the best layer's, forward and input
    gradient alone at the same batch and precision, in the same run.
    """
    precision = "bf16" if fast_bf16() else "fp32"
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    case = case.variant(precision=precision)
    engine = Engine(case)
    layers = convolutions(engine.training.model, case.prepared.shape)
    work = {f"layer {i}": _Convolution(layer, case, dtype) for i, layer in enumerate(layers)}
    bodies: dict[str, Callable[[], object]] = {"engine": engine, **work}
    seconds = interleave(bodies, settings.rounds)
    rates = {n: body.flop / statistics.median(seconds[n]) for n, body in work.items()}
    best = max(rates, key=lambda n: rates[n])
    flop = useful_flop(engine.training.model, case)
    shares = [
        (flop / mine) / (work[best].flop / peak)
        for mine, peak in zip(seconds["engine"], seconds[best], strict=True)
    ]
    flops = {n: layers[body.layer] * body.layer.flop for n, body in work.items()}
    alone = sum(flops.values()) / sum(flops[n] / rates[n] for n in work)
    return measured(
        name,
        f"PGD-10 training, {case.name}, {precision}: useful rate / best convolution's rate",
        shares,
        unit="share",
        bar=bar,
        judged=not settings.quick,
        context={
            "batch": case.config.batch_size,
            "gflops": round(flop / statistics.median(seconds["engine"]) / 1e9, 1),
            "peak_gflops": round(rates[best] / 1e9, 1),
            "peak_layer": list(work[best].layer.weight),
            # All convolutions one after another, without anything between them.
            "all_layers_gflops": round(alone / 1e9, 1),
            "mflop_forward": round(forward_flop(engine.training.model, case) / 1e6, 2),
            "load": load(),
        },
    )


def forward_flop(model: nn.Module, case: Case) -> int:
    """Return the floating-point operations of one image's forward pass, counted by torch."""
    image = torch.zeros(1, *case.prepared.shape, device=next(model.parameters()).device)
    training = model.training
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(image)
    model.train(training)
    return int(counter.get_total_flops())


def useful_flop(model: nn.Module, case: Case) -> int:
    """Return the floor of one epoch: 2K + 3 forward passes an image for K attack steps."""
    steps = case.config.attack.model_dump().get("steps", 1)
    flop: int = (2 * steps + 3) * forward_flop(model, case) * case.images
    return flop


def convolutions(model: nn.Module, shape: tuple[int, int, int]) -> Counter[Layer]:
    """Return the convolutions that an image of `shape` (C, H, W) meets, and how often each."""
    found: Counter[Layer] = Counter()

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        flop = 2 * output[0].numel() * module.weight[0].numel()
        layer = Layer(
            tuple(inputs[0].shape[1:]),
            tuple(module.weight.shape),
            tuple(module.stride),
            tuple(int(p) for p in module.padding),
            flop,
        )
        found[layer] += 1

    hooks = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, nn.Conv2d)]
    training = model.training
    with torch.no_grad():
        model.eval()(torch.zeros(1, *shape))
    model.train(training)
    for hook in hooks:
        hook.remove()
    return found


class _Convolution:
    """Forward pass and input gradient of one layer, often enough to be timed."""

    def __init__(self, layer: Layer, case: Case, dtype: torch.dtype) -> None:
        batch = case.config.batch_size
        self.layer = layer
        last = torch.channels_last
        self.x = torch.randn(batch, *layer.inputs).to(dtype=dtype, memory_format=last)
        self.weight = torch.randn(layer.weight).to(dtype=dtype, memory_format=last)
        self.gradient = torch.randn_like(self._forward())
        self.repeats = max(1, round(LEAST_FLOP / (2 * layer.flop * batch)))
        self.flop = 2 * layer.flop * batch * self.repeats

    def _forward(self) -> Tensor:
        with torch.no_grad():
            return F.conv2d(
                self.x, self.weight, None, list(self.layer.stride), list(self.layer.padding)
            )

    def __call__(self) -> None:
        for _ in range(self.repeats):
            self._forward()
            torch.ops.aten.convolution_backward(
                self.gradient,
                self.x,
                self.weight,
                None,
                self.layer.stride,
                self.layer.padding,
                (1, 1),
                False,
                (0, 0),
                1,
                (True, False, False),
            )
