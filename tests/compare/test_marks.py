"""Arms are told apart by every eye: colours simulated for three kinds of colour blindness."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from rayat.compare.marks import BASELINE, PALETTE, look

MACHADO = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
"""Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB."""
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
LEAST = 10.0
"""CIE76 distance in L*a*b*; 2.3 is the least that is seen side by side."""


def seen(color: str, by: str) -> np.ndarray:
    """Return L*a*b* (D65) of a colour as such an eye sees it."""
    values = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(np.array(MACHADO[by]) @ linear, 0, 1) / XYZ.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("by", MACHADO)
def test_colours_stay_apart(by):
    found = {
        (one, other): float(np.linalg.norm(seen(one, by) - seen(other, by)))
        for one, other in combinations((*PALETTE, BASELINE), 2)
    }
    print(by, min(found.items(), key=lambda pair: pair[1]))
    assert {pair: value for pair, value in found.items() if value < LEAST} == {}


def test_two_hundred_arms_have_looks_of_their_own():
    assert len({look(number) for number in range(224)}) == 224


def test_arms_of_one_colour_differ_in_symbol_for_eight_rounds():
    for one, other in combinations(range(56), 2):
        a, b = look(one), look(other)
        assert a.color != b.color or a.symbol != b.symbol
