"""The other side of `processes.Worker`: one JSON document in, one out, a line each.

`{"steps": {...}}` builds a training and answers when it is warm, then trains an epoch at every
`{"go": n}`. `{"trials": [...]}` runs whole trials one after another.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from rayat.config import TrialConfig
from rayat.training.process import prepare_process


def main() -> None:
    """Answer requests until the input ends."""
    # Answers have the real output for themselves; whatever else is printed must not be one.
    answers, sys.stdout = sys.stdout, sys.stderr
    engine: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        began = time.perf_counter()
        if "steps" in request:
            engine = prepare_steps(**request["steps"])
        elif "go" in request:
            for _ in range(request["go"]):
                engine()
            finish(engine.training.exchange.device)
        else:
            run_trials(request["trials"], Path(request["folder"]))
        print(json.dumps({"seconds": time.perf_counter() - began}), file=answers, flush=True)


def prepare_steps(batch: int, images: int, threads: int, device: str, precision: str) -> Any:
    """Return the Fashion net's training, two epochs old."""
    from rayat.bench import cases

    prepare_process(threads, device)
    case = cases.fashion(batch, images).variant(precision=precision)
    engine = cases.Engine(case, device)
    for _ in range(2):
        engine()
    finish(device)
    return engine


def finish(device: Any) -> None:
    """Wait for the device to have done what was queued."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def run_trials(configs: list[str], folder: Path) -> None:
    """Run trials given as JSON, each in a folder of its own below `folder`."""
    from rayat.bench.context import PlainContext
    from rayat.training.run import run

    for number, text in enumerate(configs):
        run(TrialConfig.parse(json.loads(text)), PlainContext(folder / str(number)))


if __name__ == "__main__":
    main()
