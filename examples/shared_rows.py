"""Were as many epochs trained as planned, and is every row that of a run that shares nothing?

    python examples/shared_rows.py RUN [OTHER ...]

RUN is a run that shared. Printed are the epochs that its trials asked for, those that `rayat plan`
says are to train, and those that were trained. Of each OTHER, such as a part of the study by
`--no-share`, its rows are compared to the bit with those of RUN of the same configuration and seed,
in every column but seconds, attempts and whose they are.
"""

import json
import sys

from rayat.bench.sharing import differing
from rayat.columns import SHARED_FROM
from rayat.config import TrialConfig
from rayat.data.identity import source_key
from rayat.ledger.reader import read_run
from rayat.sharing.tree import Counts, Tree
from rayat.training.keys import chains


def planned(run):
    """Return what a run's trials ask for and what has to be trained of it."""
    texts = run.trials.set_index("trial_id")["config_json"]
    configs = {name: TrialConfig.parse(json.loads(text)) for name, text in texts.items()}
    (about,) = run.info["data"]  # of one data set
    data = {source_key(config.data): about for config in configs.values()}
    return Tree(chains(configs, data)).counts()


def rows(run):
    """Return a run's epochs, their trials named by what they are."""
    names = run.trials.set_index("trial_id")["config_sha256"]
    return run.epochs.assign(trial_id=run.epochs["trial_id"].map(names))


def main(folder, others):
    """Print the counts, and what differs."""
    run = read_run(folder)
    trained = int(run.epochs[SHARED_FROM].isna().sum())
    print(f"{folder}: planned {planned(run).text()}")
    print(f"{folder}: reported {Counts(len(run.epochs), trained).done()}")
    for other in others:
        mine, theirs = rows(run), rows(read_run(other))
        both = set(mine["trial_id"]) & set(theirs["trial_id"])
        pair = [table[table["trial_id"].isin(both)] for table in (mine, theirs)]
        shared = int(pair[0][SHARED_FROM].notna().sum())
        print(
            f"{other}: {len(pair[1])} rows of {len(both)} trials, {shared} of them shared in "
            f"{folder}: {differing(*pair)} differ"
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
