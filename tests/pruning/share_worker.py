"""One worker of two, as a script: `share_worker.py RANK FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from rayat.distributed.exchange import Exchange
from rayat.pruning.base import Selection
from rayat.pruning.share import shared


def main(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)

    def select() -> Selection:
        assert rank == 0
        rows, weights = torch.tensor([2**40, 3]), torch.tensor([0.1, 1.7])
        return Selection.sort(rows, weights, forward=5, backward=4, random_fill=0.5)

    found = shared(select, Exchange(rank, 2))
    told = [found.indices.tolist(), found.weights.tolist(), found.forward, found.backward]
    assert found.indices.dtype == torch.int64 and found.weights.dtype == torch.float32
    (folder / f"{rank}.json").write_text(json.dumps(told))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
