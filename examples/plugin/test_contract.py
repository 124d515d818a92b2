from example_plugin import Halving, RandomCorner
from rayat.testing import attack_contract, shape_contract


def test_the_attack_keeps_its_contract():
    attack_contract(RandomCorner(eps=0.1))


def test_the_shape_keeps_its_contract():
    shape_contract(Halving(peak=0.1))
