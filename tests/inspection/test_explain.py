"""Every sentence of a reading comes from a number."""

import pytest
import torch
from torch import Tensor, nn

from actcompare import Inspection, inspect_model
from tests.models.zoo import make


def read(model: nn.Module, x: Tensor, **options: object) -> str:
    return inspect_model(model, x, **options).reading()  # type: ignore[arg-type]


def linear(bias: float, weight: float = 1.0, units: int = 10) -> nn.Linear:
    layer = nn.Linear(4, units)
    with torch.no_grad():
        layer.weight.copy_(
            weight * torch.randn(units, 4, generator=torch.Generator().manual_seed(1))
        )
        layer.bias.fill_(bias)
    return layer


X = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))


def test_a_healthy_model_gets_no_advice() -> None:
    said = read(nn.Sequential(linear(0), nn.GELU()), X)
    assert said.startswith(
        "0 (0.0 %) of the 10 units of 1 activation call are zero-dead or gradient-dead"
    )
    assert "Try" not in said
    assert said.endswith("may fire on up to 2.95 % of new samples (95 % bound).")


class Rarely(nn.Module):
    """Positive on one of 40 samples."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(len(x))[:, None]
        return torch.where(rows % 40 == 0, 1.0, -1.0).expand(-1, 10) + 0 * x[:, :1]


@pytest.mark.parametrize(
    ("model", "sentences"),
    [
        (
            [linear(-99), nn.ReLU()],
            ["100.0 % of the units output 0 on every sample", "a lower learning rate",
             "--swap relu=leaky_relu"],
        ),
        ([linear(99), nn.ReLU6()], ["mean |activation| 6", "smaller weights before it"]),
        ([linear(0, 99), nn.Tanh()], ["of the units are saturated"]),
        ([Rarely(), nn.ReLU()], ["100.0 % of the units are saturated: they pass practically no"]),
        (
            [linear(-20), nn.Softplus()],
            ["Counting zeros misses 10 units", "pass practically no gradient"],
        ),
        ([linear(5, 1e-5), nn.GELU()], ["10 constant", "of the units are constant, so they"]),
        (
            [linear(5, 1e-6), nn.GELU(), nn.Linear(10, 8), nn.GELU()],
            ["3 / gelu receives nearly constant input: 10 of the 10 units of 1 / gelu before it"],
        ),
        ([linear(float("nan")), nn.ReLU()], ["not finite, in 10 of 10 units"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_to_try(
    model: list[nn.Module], sentences: list[str]
) -> None:
    said = read(nn.Sequential(*model), X)
    for sentence in sentences:
        assert sentence in said


def test_what_if_and_what_is_not_seen_are_told() -> None:
    model = nn.Sequential(linear(-99), nn.ReLU(), nn.Linear(10, 4), nn.Tanh())
    said = read(model, X, swap={"relu": "softplus", "gelu": "silu"}, own=["os:getcwd"])
    assert "10 units are dead instead of 10" in said  # softplus is as flat there
    assert "The mean of the last layer, 3 / tanh, changes from" in said
    assert "Never called: os:getcwd." in said
    assert "Not swapped: gelu (the model does not call it)." in said
    said = read(
        nn.Sequential(nn.ReLU(), nn.RNN(4, 4, nonlinearity="relu")), X, swap={"relu": "elu"}
    )
    assert "Not swapped: 1 (torch computes the gates of a recurrent layer in one call)" in said
    assert "Not seen: 1: the gates of rnn_relu" in said


def test_long_models_are_told_in_short() -> None:
    model = nn.Sequential(*(m for _ in range(9) for m in (linear(-99, 0, 4), nn.ReLU())))
    inspection = inspect_model(model, X)
    assert isinstance(inspection, Inspection)
    said = inspection.reading()
    assert "4 more layers with such units" in said
    functions, samples = make("functions")
    assert "units of 11 activation calls" in read(functions, samples(5))
