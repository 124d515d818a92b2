"""The shipped papers: equal arms in every tier, and controls without which nothing is judged."""

import pytest

from rayat.api.reproducing import paper_of, study_on
from rayat.errors import ConfigError, StudyError

PAPERS = ("accelat", "dat", "dynamic", "pruning", "sdi")
MANDATORY = {
    # The matched starting rate; a random part and all images for as long; SGD with a scaled rate;
    # equal passes.
    "accelat": {"twice-as-fast": {"constant"}, "over-onecycle": {"onecycle"}},
    "pruning": {
        "alone-3.44": {"trades-random-a", "trades-as-long-a"},
        "alone-2.02": {"trades-random-b", "trades-as-long-b"},
        "trades-bullet-5.66": {"trades-random-a", "trades-as-long-a"},
        "mart-bullet-5.12": {"mart-random-a", "mart-as-long-a"},
        "trades-bullet-3.67": {"trades-random-b", "trades-as-long-b"},
        "mart-bullet-3.07": {"mart-random-b", "mart-as-long-b"},
    },
    "dat": {"large-batch": {"sgd-large"}, "accuracy-kept": {"sgd-large"}},
    "dynamic": {"dynamic-over-pgd": {"pgd-few"}, "over-equal-passes": {"pgd-few"}},
    "sdi": {"third-of-the-time": {"pgd-2"}, "as-robust": {"pgd-2"}, "beats-pgd-2": {"pgd-2"}},
}
PUBLISHED = {
    ("accelat", "twice-as-fast"): 2.0,
    ("pruning", "alone-3.44"): 3.44,
    ("pruning", "alone-2.02"): 2.02,
    ("pruning", "trades-bullet-5.66"): 5.66,
    ("pruning", "mart-bullet-5.12"): 5.12,
    ("pruning", "trades-bullet-3.67"): 3.67,
    ("pruning", "mart-bullet-3.07"): 3.07,
    ("sdi", "third-of-the-time"): 3.0,
}
"""As the abstracts say it (docs/papers.md 2.5, 5.7, 6.1)."""


@pytest.mark.parametrize("name", [*PAPERS, "combined"])
def test_tiers_differ_in_size_alone(name):
    paper = paper_of(name)
    arms = {tier: list(paper.study(tier).arms) for tier in paper.sizes}
    claims = {tier: [claim.name for claim in paper.claims(tier)] for tier in paper.sizes}
    assert len({tuple(each) for each in arms.values()}) == 1
    assert len({tuple(each) for each in claims.values()}) == 1
    needed = {arm for claim in paper.claims("smoke") for arm in claim.needed}
    assert needed <= set(arms["smoke"])


@pytest.mark.parametrize("name", [*PAPERS, "combined"])
def test_every_tier_is_three_seeds_of_configurations_that_exist(name):
    paper = paper_of(name)
    for tier in paper.sizes:
        study = paper.study(tier)
        configs = [trial.config for trial in study.replace(seeds=(0,)).trials()]
        assert len(configs) == len(study.arms) and study.seeds == (0, 1, 2)
        assert study.name == f"{name}-{tier}" and study.tested
        suites = {suite.kind for config in configs for suite in config.eval.suites}
        pgd = tier == "smoke" or (tier == "cpu" and name in ("pruning", "combined"))
        assert suites == (set() if pgd else {"autoattack"})
        assert (study.target is None) == (tier == "full")
    assert ("full" in paper.sizes) == (name in PAPERS)


@pytest.mark.parametrize("name", MANDATORY)
def test_no_headline_is_judged_without_its_mandatory_controls(name):
    claims = {claim.name: claim for claim in paper_of(name).claims("cpu")}
    for claim, controls in MANDATORY[name].items():
        assert controls <= set(claims[claim].needed), claim
        assert all(claims[claim].is_control(arm) for arm in controls), claim


def test_published_figures_are_the_abstracts():
    found = {
        (name, claim.name): claim.published.value
        for name in PAPERS
        for claim in paper_of(name).claims("full")
        if "abstract" in claim.published.source and claim.published.value is not None
    }
    assert {key: found.get(key) for key in PUBLISHED} == PUBLISHED


def test_a_paper_and_a_tier_that_there_are_not_are_refused_by_the_nearest():
    with pytest.raises(StudyError, match=r"'sdy'.*did you mean 'sdi'"):
        paper_of("sdy")
    with pytest.raises(StudyError, match="no tier 'full'"):
        paper_of("combined").study("full")


def test_other_data_are_every_arms():
    sdi = paper_of("sdi")
    data = [t.config.data for t in study_on(sdi, "full", "cifar100").trials()]
    assert {(each.kind, each.augment) for each in data} == {("cifar100", "crop-flip")}
    data = [t.config.data for t in study_on(sdi, "full", "folder:/somewhere").trials()]
    assert {(each.kind, each.path) for each in data} == {("folder", "/somewhere")}
    with pytest.raises(ConfigError, match="cifar1000"):
        study_on(sdi, "full", "cifar1000")
