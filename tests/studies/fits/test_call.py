"""What a fit is given, and what it may return."""

import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from actcompare import ActcompareError, UsageError, parse
from actcompare.activations.catalogue import CATALOGUE
from actcompare.studies.fits.call import read_returned
from actcompare.studies.fits.load import Fit, MakeActivation, as_literals, read_settings
from actcompare.studies.fits.plan import make_fit_plan
from tests.studies.fits import mine


@pytest.mark.parametrize("spec", [entry.spec for entry in CATALOGUE])
def test_an_activation_is_made_anew_at_each_call(spec: str) -> None:
    make = pickle.loads(pickle.dumps(MakeActivation(parse(spec))))
    one, two = make(), make()
    assert make.label == parse(spec).label
    assert isinstance(one, nn.Module)
    assert one is not two
    assert one.training
    x = torch.linspace(-2, 2, 6).reshape(1, 6)
    torch.manual_seed(0)
    made = one(x)
    torch.manual_seed(0)
    assert made.equal(two(x))


@pytest.mark.parametrize(
    "value",
    [0.5, np.float32(0.5), np.float64(0.5), torch.tensor(0.5), torch.tensor([[0.5]]),
     torch.tensor(0.5, requires_grad=True).detach(), np.array(0.5), np.array([0.5])],
)  # fmt: skip
def test_any_number_is_one(value: Any) -> None:
    assert read_returned(value, "metric") == ([0.5], {})
    assert read_returned({"metric": value}, "metric") == ([0.5], {"metric": 0.5})
    assert read_returned(iter([1, value]), "metric") == ([1.0, 0.5], {})


def test_huge_and_infinite_numbers() -> None:
    assert read_returned(10**400, "metric")[0] == [math.inf]
    assert math.isnan(read_returned(math.nan, "metric")[0][0])


def test_the_last_report_is_the_result_and_the_series_the_curve() -> None:
    reports = ({"acc": k / 10, "validation": k / 20} for k in range(1, 4))
    curve, numbers = read_returned(reports, "acc")
    assert curve == [0.1, 0.2, 0.3]
    assert numbers == {"acc": 0.3, "validation": 0.15}


def none_at_all() -> Iterator[float]:
    yield from ()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "it returned None: return the metric"),
        ("0.9", "it returned str, which is not a number"),
        (True, "it returned bool, which is not a number"),
        (np.bool_(True), "which is not a number"),
        (torch.tensor(True), "which is not a number"),
        (1j, "it returned complex"),
        ([0.1, 0.2], "it returned list"),
        (torch.zeros(3), "it returned Tensor, which is not a number"),
        (np.zeros(3), "it returned ndarray"),
        ({}, "it returned no 'metric', for its dict is empty: put 'metric' in it"),
        ({"acc": 1, "loss": 2}, "no 'metric', but acc, loss: --metric NAME says"),
        ({"metric": 1, "net": nn.ReLU()}, "it returned 'net': ReLU, which is not a number"),
        (none_at_all(), "it reported nothing: yield the metric"),
        (iter([0.5, None]), "it reported None: report the metric"),
    ],
)
def test_what_is_no_number_is_told(value: Any, said: str) -> None:
    with pytest.raises(ActcompareError) as caught:
        read_returned(value, "metric")
    assert said in str(caught.value)


# --- settings ------------------------------------------------------------------------------------


def test_settings_are_literals_or_text() -> None:
    given = ["a=64", "b=adam", "c=[1, 2]", "d=None", "e='x=y'", "f=True", "g=-1e-3", "h=true"]
    read = read_settings(given)
    assert read == {
        "a": 64, "b": "adam", "c": [1, 2], "d": None, "e": "x=y", "f": True, "g": -1e-3,
        "h": "true",
    }  # fmt: skip
    assert as_literals(read)["c"] == "[1, 2]"


@pytest.mark.parametrize("text", ["width", "=5", "a b=3", "1=2"])
def test_settings_of_another_form_are_told(text: str) -> None:
    with pytest.raises(UsageError, match="write key=value"):
        read_settings([text])


def test_settings_that_cannot_be_kept_are_told() -> None:
    with pytest.raises(UsageError, match=r"setting net must be a Python literal .* not ReLU"):
        as_literals({"net": nn.ReLU()})
    with pytest.raises(UsageError, match=r"setting x must be a Python literal .* not float"):
        as_literals({"x": math.nan})


@pytest.mark.parametrize(
    ("function", "settings", "with_lr", "said"),
    [
        (mine.without_activation, {}, False, "takes no argument activation: write fit("),
        (mine.without_seed, {}, False, "takes no argument seed: write fit("),
        (mine.trains, {}, False, "needs lr: give --lr"),
        (mine.slow, {}, True, "takes no argument lr: leave --lr out"),
        (mine.needs_depth, {}, False, "needs depth: give --set depth=..."),
        (mine.needs_depth, {"dept": 1}, False, "takes no argument dept: did you mean depth?"),
        (mine.needs_depth, {"x": 1}, False, "takes no argument x: its settings are depth"),
        (mine.slow, {"width": 1}, False, "takes no argument width: it has no settings"),
        (mine.slow, {"seed": 1}, False, "is given seed by the study"),
        (mine.by_position, {}, False, "takes no argument activation"),
    ],
)
def test_a_fit_that_cannot_be_called_is_told_before(
    function: Any, settings: dict[str, Any], with_lr: bool, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        Fit.of(function).check(settings, with_lr=with_lr)
    assert said in str(caught.value)


def test_a_fit_may_take_anything() -> None:
    Fit.of(lambda **given: given["seed"]).check({"width": 3}, with_lr=True)
    Fit.of(dict).check({"width": 3}, with_lr=True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr": 0.0}, "lr must be above 0"),
        ({"lr": []}, "no lr given"),
        ({"lr": [0.1, 0.1]}, "lr 0.1 is given twice"),
        ({"margin": -1}, "margin must be 0 or more"),
        ({"metric": "validation"}, "metric 'validation' cannot be the metric"),
        ({"cell_time_limit": 0}, "cell-time-limit must be above 0"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"seeds": 10**7}, "a study has at most 1,000,000"),
        ({"threads": 0}, "threads must be from 1"),
    ],
)
def test_settings_of_the_study_are_checked(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_fit_plan("relu", mine.loss, **settings)
    assert said in str(caught.value)
