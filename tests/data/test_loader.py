"""The window view against a slow reference, and who may see what."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.data.base import Prepared
from rayat.data.loader import EpochOrder, TrainLoader, eval_batches
from rayat.data.prepare import prepare
from rayat.errors import DataError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slow_batch(prepared: Prepared, plan: EpochOrder, padding: int) -> torch.Tensor:
    """Crop and flip one image at a time, as the papers' loaders do."""
    _, height, width = prepared.shape
    images = []
    for row, mirror, dy, dx in zip(plan.rows, plan.mirror, plan.dy, plan.dx, strict=True):
        image = prepared.train.x[row]
        image = image[:, ::-1] if mirror else image
        image = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
        crop = image[dy : dy + height, dx : dx + width]
        images.append(torch.tensor(crop.astype(np.float32) / np.float32(255)).permute(2, 0, 1))
    return torch.stack(images)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7), st.sampled_from([1, 3])),
    augment=st.sampled_from(["none", "crop", "crop-flip"]),
    padding=st.integers(0, 3),
    seed=st.integers(0, 2**31),
)
def test_window_view_agrees_with_the_slow_reference(memory, shape, augment, padding, seed):
    source = memory(n=12, shape=shape, augment=augment, padding=padding)
    prepared = prepare(source)
    loader = TrainLoader(prepared, source)
    plan = loader.plan(generator(seed))
    x, y = loader.batch(plan, 0, len(plan))
    assert torch.equal(x, slow_batch(prepared, plan, 0 if augment == "none" else padding))
    assert torch.equal(y, torch.tensor(prepared.train.y)[plan.rows])


@pytest.fixture
def loader(memory):
    source = memory(augment="crop-flip", padding=2)
    return TrainLoader(prepare(source), source)


def test_an_epoch_shows_every_image_once_and_every_augmentation(loader):
    plan = loader.plan(generator())
    assert sorted(plan.rows.tolist()) == list(range(54)) and len(plan) == 54
    assert set(plan.mirror.tolist()) == {0, 1}
    assert set(plan.dy.tolist()) == set(plan.dx.tolist()) == {0, 1, 2, 3, 4}
    assert plan.rows.tolist() != sorted(plan.rows.tolist())


def test_a_plan_is_a_function_of_its_generator_alone(loader):
    before = torch.get_rng_state()
    first, second = loader.plan(generator(3)), loader.plan(generator(3))
    other = loader.plan(generator(4))
    for field in dataclasses.fields(EpochOrder):
        assert torch.equal(getattr(first, field.name), getattr(second, field.name))
    assert not torch.equal(first.rows, other.rows)
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_are_channels_last_floats_in_new_memory(loader):
    plan = loader.plan(generator())
    x, y = loader.batch(plan, 0, 8)
    assert x.shape == (8, 3, 6, 5) and x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert x.min() >= 0 and x.max() <= 1
    assert y.shape == (8,) and y.dtype == torch.int64
    x.zero_()
    assert loader.batch(plan, 0, 8)[0].max() > 0


@pytest.mark.parametrize("workers", [2, 3, 6])
def test_slices_of_a_batch_are_the_batch(loader, workers):
    plan = loader.plan(generator())
    whole, share = loader.batch(plan, 12, 36), 24 // workers
    parts = [
        loader.batch(plan, 12 + rank * share, 12 + (rank + 1) * share) for rank in range(workers)
    ]
    assert torch.equal(torch.cat([x for x, _ in parts]), whole[0])
    assert torch.equal(torch.cat([y for _, y in parts]), whole[1])


def test_a_plan_can_be_restricted_to_some_rows(loader):
    kept = torch.tensor([5, 2, 40, 2])
    plan = loader.plan(generator(), kept)
    assert sorted(plan.rows.tolist()) == [2, 2, 5, 40]
    _, y = loader.batch(plan, 0, 4)
    assert torch.equal(y, loader.y[plan.rows])


@pytest.fixture
def every_warning():
    """Let torch warn every time; it warns once per process otherwise."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.usefixtures("every_warning")
def test_read_only_arrays_are_used_in_place_and_in_silence(memory):
    source = memory(augment="crop")
    prepared = prepare(source)
    for array in (prepared.windows, prepared.train.y, prepared.val.x, prepared.val.y):
        array.flags.writeable = False
    before = prepared.windows.copy()
    loader = TrainLoader(prepared, source)
    assert loader.runs.data_ptr() == prepared.windows.ctypes.data
    x, _ = loader.batch(loader.plan(generator()), 0, 9)
    x.fill_(0.5)
    assert [len(y) for _, y in eval_batches(prepared.val, 4)] == [4, 2]
    np.testing.assert_array_equal(prepared.windows, before)


def test_data_prepared_otherwise_is_refused(memory):
    prepared = prepare(memory(augment="crop", padding=2))
    for source in (memory(augment="crop", padding=3), memory(augment="crop-flip", padding=2)):
        with pytest.raises(DataError, match=r"was not prepared with augment=crop.*use prepare"):
            TrainLoader(prepared, source)


@pytest.mark.parametrize(("size", "lengths"), [(None, [4, 4, 2]), (5, [4, 1]), (99, [4, 4, 2])])
def test_evaluation_shows_a_prefix_in_order(memory, size, lengths):
    test = memory().read().test
    batches = list(eval_batches(test, 4, size=size))
    assert [len(x) for x, _ in batches] == lengths
    x, y = torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
    assert torch.equal(y, torch.tensor(test.y[: len(y)]))
    expected = torch.tensor(test.x[: len(y)]).permute(0, 3, 1, 2) / 255
    assert torch.equal(x, expected)
    assert batches[0][0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_data_lives_on_the_device_and_is_the_same_there(memory):
    source = memory(augment="crop-flip")
    prepared = prepare(source)
    there, here = TrainLoader(prepared, source, "cuda"), TrainLoader(prepared, source)
    assert there.runs.is_cuda and there.runs.dtype == torch.uint8
    ours = there.batch(there.plan(generator()), 3, 20)
    expected = here.batch(here.plan(generator()), 3, 20)
    assert ours[0].is_cuda and torch.allclose(ours[0].cpu(), expected[0], atol=1e-7)
    assert torch.equal(ours[1].cpu(), expected[1])
