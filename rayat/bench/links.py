"""D1: what an exchange of gradients takes between hosts whose links are slow."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from rayat.bench import cases
from rayat.bench._network import DEVICE, INSIDE, Network, NoNetwork, address, network, refusal
from rayat.bench.machine import load
from rayat.bench.processes import Worker
from rayat.bench.rows import Bar, BenchRow, measured
from rayat.bench.timing import Settings
from rayat.planning.scaling import Link, codec_seconds, step_time
from rayat.registry import EXCHANGES, MODELS

RATES = {"1G": ("1 Gbit/s", 1e9 / 8), "100M": ("100 Mbit/s", 1e8 / 8)}
"""Bytes a second by the short name in a row's."""
EXCHANGED: dict[str, Any] = {
    "none": "none",
    "fp16": "fp16",
    "qsgd-7": {"name": "qsgd", "bits": 7},
    "qsgd-4": {"name": "qsgd", "bits": 4},
    "qsgd-1": {"name": "qsgd", "bits": 1},
}
SHAPE = (3, 32, 32)
PINGS = 50
WHAT = "seconds of an exchange over shaped links"
FRAMING = Bar(1.1, "<=")
"""Headers and acknowledgements of TCP over Ethernet are at most a tenth of the payload."""


def d1(settings: Settings) -> list[BenchRow]:
    """Time exchanges by turns, and compare the links' own byte counters with `bytes_per_step`."""
    why = refusal()
    if why:
        return [BenchRow("D1", WHAT, unit="ms", reason=f"not run: {why}")]
    rows = []
    try:
        for world in (2,) if settings.quick else (2, 4):
            rows += _group(world, settings)
    except NoNetwork as error:
        return [BenchRow("D1", WHAT, unit="ms", reason=f"not run: {error}")]
    return rows


def _group(world: int, settings: Settings) -> list[BenchRow]:
    """Return the rows of a number of workers, for each rate."""
    model = cases.FASHION if settings.quick else cases.PREACT18_W16
    with hosts(world) as (group, net):
        store = f"tcp://{address(0)}:29400"
        asked = {"world": world, "store": store, "model": model, "shape": list(SHAPE)}
        for rank, worker in enumerate(group):
            worker.ask(["join", {"rank": rank, **asked}])
        shapes = [worker.reply()["shapes"] for worker in group]
        rows = []
        for short, (words, rate) in RATES.items():
            if settings.quick and short != "100M":
                continue
            net.shape(rate)
            label = f"D1.{short}.m{world}"
            found = _measure(group, settings, rate)
            # What the link gives to one long message: how well it is shaped is another matter.
            link = Link(rate * statistics.median(found["stream"]), found.pop("latency"))
            rows += _rows(label, words, link, shapes[0], found, settings)
    return rows


@contextlib.contextmanager
def hosts(world: int) -> Iterator[tuple[list[Worker], Network]]:
    """Give processes that answer as `link_worker` does, each on a host of its own.

    Raises:
        NoNetwork: the machine refuses.
    """
    environment = {"GLOO_SOCKET_IFNAME": DEVICE, "TORCH_CPP_LOG_LEVEL": "ERROR"}
    group: list[Worker] = []
    try:
        group += (Worker(1, "rayat.bench.link_worker", INSIDE, environment) for _ in range(world))
        for worker in group:
            worker.ask(["here", {}])
        for worker in group:
            worker.reply()
        with network([worker.process.pid for worker in group]) as net:
            yield group, net
    finally:
        for worker in group:
            worker.close()


def ask(group: Sequence[Worker], method: str, **arguments: Any) -> list[dict[str, Any]]:
    """Return the answers of all hosts to one request."""
    for worker in group:
        worker.ask([method, arguments])
    return [worker.reply() for worker in group]


def _measure(group: Sequence[Worker], settings: Settings, rate: float) -> dict[str, Any]:
    """Return every exchange's answers in each round, and what the link itself does."""
    pings = [ask(group, "ping", times=PINGS)[0]["seconds"] for _ in range(settings.rounds)]
    # A sum over M hosts is a ring of 2 (M - 1) messages.
    latency = statistics.median(pings) / (2 * (len(group) - 1))
    stream = settings.pick(4_000_000, 400_000)
    found: dict[str, Any] = {name: [] for name in EXCHANGED}
    for spec in EXCHANGED.values():
        ask(group, "step", spec=spec, steps=1)
    streams = []
    for number in range(settings.rounds):
        order = list(EXCHANGED.items())
        for name, spec in order[::-1] if number % 2 else order:
            found[name].append(ask(group, "step", spec=spec, steps=settings.pick(5, 4)))
        seconds = ask(group, "stream", nbytes=stream)[1]["seconds"]
        streams.append(stream / seconds / rate)
    return {"latency": latency, "stream": streams, **found}


def _rows(
    label: str,
    words: str,
    link: Link,
    shapes: list[list[int]],
    found: dict[str, Any],
    settings: Settings,
) -> list[BenchRow]:
    """Return a row of seconds per exchange, of bytes, of the prediction and of the link."""
    model = cases.FASHION if settings.quick else cases.PREACT18_W16
    parameters = list(MODELS.build(model).build(SHAPE, 10, 0).parameters())
    streams = found.pop("stream")
    judged = not settings.quick
    rows, wire, predicted = [], [], []
    for name, rounds in found.items():
        world = len(rounds[0])
        exchange = EXCHANGES.build(EXCHANGED[name])
        crowd = max(1.0, world / len(os.sched_getaffinity(0)))  # the hosts share this machine
        codec = codec_seconds(exchange, parameters, world) * crowd
        guess = step_time(exchange, shapes, world, link, 0.0, codec)
        seconds = [max(answer["seconds"] for answer in each) for each in rounds]
        sent = [answer["sent"] for each in rounds for answer in each]
        received = [answer["received"] for each in rounds for answer in each]
        # What one host sends may differ from another's by a norm or a bucket's remainder.
        wire += [statistics.fmean(sent) / guess.nbytes, statistics.fmean(received) / guess.nbytes]
        predicted.append(guess.seconds / statistics.median(seconds))
        rows.append(
            measured(
                f"{label}.{name}",
                f"exchange over {words}, {world} workers: {name}",
                [1000 * s for s in seconds],
                unit="ms",
                judged=judged,
                context={
                    "weights": sum(p.numel() for p in parameters),
                    "bytes_per_step": guess.nbytes,
                    "sent_bytes": round(statistics.fmean(sent)),
                    "received_bytes": round(statistics.fmean(received)),
                    "codec_ms": round(1000 * codec, 2),
                    "predicted_ms": round(1000 * guess.seconds, 2),
                    "latency_us": round(1e6 * link.latency, 1),
                    "load": load(),
                },
            )
        )
    rows += [
        measured(
            f"{label}.bytes",
            f"bytes of the links' counters / bytes_per_step, {words}",
            wire,
            bar=FRAMING,
            judged=judged,
        ),
        measured(
            f"{label}.predicted",
            f"seconds as predicted / measured, {words}",
            predicted,
            judged=judged,
        ),
        measured(
            f"{label}.link",
            f"rate of one long message / {words}",
            streams,
            unit="share",
            judged=judged,
            context={"latency_us": round(1e6 * link.latency, 1)},
        ),
    ]
    return rows
