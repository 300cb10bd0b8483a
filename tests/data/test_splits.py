import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actcompare.data.datasets import Dataset, from_arrays
from actcompare.data.sources import load_data
from actcompare.data.splits import Part, split, split_rows
from actcompare.errors import ActcompareError

CPU = torch.device("cpu")


def table(samples: int = 100, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    X = rng.normal(5, 3, (samples, 4))
    return from_arrays("table", X, rng.normal(size=samples) + X[:, 0])


@given(sizes=st.lists(st.integers(1, 90), min_size=2, max_size=6), seed=st.integers(0, 1000))
def test_each_part_gets_its_share_of_every_class(sizes: list[int], seed: int) -> None:
    classes = np.repeat(np.arange(len(sizes)), sizes)
    rows = split_rows(classes, len(classes), seed)
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(classes)))
    for part, share in zip(rows, (0.7, 0.15, 0.15), strict=True):
        for k, size in enumerate(sizes):
            assert abs((classes[part] == k).sum() - share * size) <= 2


def test_the_seed_decides() -> None:
    one, again, other = (split_rows(None, 100, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])


def moments(part: Part) -> tuple[torch.Tensor, torch.Tensor]:
    return part.X.mean(0), part.X.std(0, correction=0)


def test_standardised_by_the_training_part_alone() -> None:
    dataset = table()
    parts = split(dataset, 0, torch.float64, CPU)
    mean, std = moments(parts.train)
    assert torch.allclose(mean, torch.zeros(4).double(), atol=1e-12)
    assert torch.allclose(std, torch.ones(4).double())
    assert float(parts.train.y.mean()) == pytest.approx(0, abs=1e-12)
    rows = split_rows(None, 100, 0)
    changed = dataset.X.copy()
    changed[rows[2]] += 1000  # what the test set holds must not show elsewhere
    poisoned = Dataset("table", changed, dataset.y, dataset.task, "", dataset.inputs)
    again = split(poisoned, 0, torch.float64, CPU)
    assert torch.equal(again.train.X, parts.train.X)
    assert torch.equal(again.validation.X, parts.validation.X)
    assert not torch.equal(again.test.X, parts.test.X)


def test_other_scales() -> None:
    digits = load_data("digits")
    parts = split(digits, 0, torch.float32, CPU, scale="unit")
    assert (float(parts.train.X.min()), float(parts.train.X.max())) == (0, 1)
    assert parts.constant == ("0", "32", "39")
    raw = split(digits, 0, torch.float32, CPU, scale="none")
    assert float(raw.train.X.max()) == 16


def test_missing_values_become_the_mean_and_constants_zero() -> None:
    X = np.random.default_rng(0).normal(3, 2, (100, 3))
    X[::7, 0] = np.nan
    X[:, 1], X[:, 2] = 8.5, np.nan
    dataset = from_arrays("table", X, np.arange(100.0))
    parts = split(dataset, 0, torch.float64, CPU)
    assert all(
        bool(part.X.isfinite().all()) for part in (parts.train, parts.validation, parts.test)
    )
    assert parts.constant == ("1", "2")
    rows = split_rows(None, 100, 0)[0]
    filled = torch.from_numpy(np.isnan(X[rows, 0]))
    assert not parts.train.X[filled, 0].any()
    assert not parts.train.X[:, 1:].any()


def test_a_positive_target_stays_positive() -> None:
    rng = np.random.default_rng(0)
    dataset = from_arrays("table", rng.normal(size=(100, 2)), rng.gamma(2, 3, 100))
    parts = split(dataset, 0, torch.float64, CPU, centred_targets=False)
    assert float(parts.train.y.min()) > 0
    assert float(parts.train.y.std(correction=0)) == pytest.approx(1)


def test_huge_numbers_do_not_overflow() -> None:
    X = np.random.default_rng(0).normal(size=(100, 2)) * 1e307
    parts = split(from_arrays("table", X, 1e306 * np.arange(100.0)), 0, torch.float64, CPU)
    assert bool(parts.train.X.isfinite().all())
    assert float(parts.train.y.std(correction=0)) == pytest.approx(1)


def test_too_few_samples() -> None:
    with pytest.raises(ActcompareError, match="too few to split"):
        split(table(10), 0, torch.float32, CPU)


def test_chunks_are_the_part() -> None:
    part = split(table(), 0, torch.float32, CPU).train
    assert torch.equal(torch.cat([chunk.X for chunk in part.chunks(9)]), part.X)
    assert max(len(chunk) for chunk in part.chunks(9)) == 9
