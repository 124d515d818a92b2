"""The rules of the attacks (docs/papers.md 1.2, 4 to 7), with their cases."""

from __future__ import annotations

from formulas import _iterated, _learning, _single
from formulas._steps import BATCH, batch

RULES = {
    "none": (_single.none, 1),
    "fgsm": (_single.fgsm, 2),
    "fgsm-rs": (_single.fgsm_rs, 3),
    "n-fgsm": (_single.n_fgsm, 4),
    "fgsm-ckpt": (_single.fgsm_ckpt, 5),
    "pgd": (_iterated.pgd, 6),
    "pgd-early": (_iterated.pgd_early, 7),
    "dynamic": (_iterated.dynamic, 8),
    "bullet-train": (_iterated.bullet_train, 12),
    "free": (_learning.free, 10),
    "fgsm-sdi": (_learning.fgsm_sdi, 11),
}


def vectors() -> dict:
    """Return one object for each attack: the network, the images and the cases."""
    found = {}
    for name, (rule, seed) in RULES.items():
        turned = {"pgd-early": 1, "bullet-train": 3}.get(name, 2)
        net, x, y = batch(seed, turned, 8 if name == "bullet-train" else BATCH)
        found[name] = {"network": net, "x": x, "y": y, "cases": rule(seed)}
    found["fgsm-sdi"]["generator"] = _learning.generator(RULES["fgsm-sdi"][1])
    return found
