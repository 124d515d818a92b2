"""The joint search by three ways at one budget, three times each, its winners on fresh seeds.

    python examples/joint.py runs/joint            # about 9 searches of ten minutes on two cores
    python examples/joint_table.py runs/joint

A search that ended is not run again, so the command goes on where it was stopped.
"""

import sys
from pathlib import Path

import rayat
from rayat.study import load_study

STUDY = load_study(Path(__file__).parent.parent / "search_spaces" / "joint.py")
WAYS = {
    "accel": {},
    "asha": {"policy": "asha"},
    # Neither learns where to look nor stops what looks bad.
    "random": {"policy": "none", "search": "random", "objective": "accuracy"},
}
REPETITIONS = (0, 1, 2)
FRESH = {"top": 1, "seeds": 3, "attack": None}


def main(out: Path) -> None:
    """Search by every way, interleaved, then confirm the winner of each search."""
    for repetition in REPETITIONS:
        for way, changes in WAYS.items():
            study = STUDY.replace(**changes, draw_seed=repetition, seeds=(repetition,))
            ended = rayat.run(study, out / f"{way}-{repetition}").summary
            if ended is not None and ended.interrupted:
                sys.exit("interrupted: the same command goes on")
    for repetition in REPETITIONS:
        for way in WAYS:
            found = out / f"{way}-{repetition}"
            rayat.confirm(found, out / f"{way}-{repetition}-confirmed", **FRESH)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
