"""One step before the start: what a few images alone would not show."""

from __future__ import annotations

import pytest

from rayat.config import TrialConfig
from rayat.data.prepare import prepare
from rayat.errors import ConfigError
from rayat.planning.rehearsal import rehearse

NETS = """
from torch import nn

def outputs(shape, number: int):
    channels, height, width = shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, number))
"""


@pytest.mark.parametrize("number", [7, 12])
def test_a_network_gives_one_logit_a_class(tmp_path, monkeypatch, number):
    """Of seven outputs the first labels have theirs: the step itself would go through."""
    (tmp_path / "nets_of_a_test.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)

    def config(outputs):
        model = {"name": "nets_of_a_test:outputs", "number": outputs}
        data = {"name": "digits", "train_size": 128, "val_size": 32}
        return TrialConfig.parse({"data": data, "model": model, "batch_size": 32})

    prepared = prepare(config(10).data)
    rehearse(config(10), prepared)
    with pytest.raises(ConfigError, match=rf"gives \(2, {number}\) for 2 images of 10 classes"):
        rehearse(config(number), prepared)
