"""Critical initialisation: the numbers, and nets that keep lengths and gradients."""

import itertools
import math

import pytest
import torch
from torch import nn

from actcompare.activations.catalogue import CATALOGUE
from actcompare.activations.gaussian import Curve
from actcompare.activations.spec import parse
from actcompare.errors import ActcompareError, UsageError
from actcompare.models.critical import critical_point, initialise_critical_

# q0, sigma_w^2, sigma_b^2, slope, from mpmath.
POINTS = {
    "softplus": (10, 2.56604119130, 1.92477078947, 0.850173229576),
    "relu": (1, 2, 1 / math.pi, 1 - 1 / math.pi),
    "gelu": (1, 2.19369990353, 0.241760766359, 0.805338037225),
    "silu": (3, 2.21473044507, 0.721481807695, 0.802555),
    "tanh": (1, 2.15330264890, 0.150964629379, 0.391465),
}

NONE = {"hardshrink", "threshold", "tanhshrink", "softshrink"}


def _curve(spec: str) -> Curve:
    return Curve.of(parse(spec))


@pytest.mark.parametrize("spec", POINTS)
def test_points(spec: str) -> None:
    point = critical_point(_curve(spec))
    q0, sigma_w2, sigma_b2, slope = POINTS[spec]
    assert (point.q0, point.sigma_w2, point.sigma_b2) == pytest.approx(
        (q0, sigma_w2, sigma_b2), rel=1e-9
    )
    assert point.slope == pytest.approx(slope, rel=1e-5)


def test_lengths_at_which_each_activation_is_stable() -> None:
    found = {}
    for entry in CATALOGUE:
        if entry.spec not in NONE:
            found[entry.name] = critical_point(_curve(entry.spec)).q0
    assert {name for name, q0 in found.items() if q0 == 10} == {"softplus", "logsigmoid"}
    assert {name for name, q0 in found.items() if q0 == 3} == {"silu", "hardswish", "hardsigmoid"}
    assert all(found[name] == 1 for name in ("relu", "elu", "selu", "gelu", "mish", "sigmoid"))


@pytest.mark.parametrize("spec", sorted(NONE))
def test_where_there_is_none_it_says_so(spec: str) -> None:
    with pytest.raises(ActcompareError, match=f"{spec} (jumps|has no stable critical)"):
        critical_point(_curve(spec))


@pytest.mark.parametrize(("spec", "module"), [("softplus", nn.Softplus), ("relu", nn.ReLU)])
def test_a_users_stack_keeps_lengths_and_gradients(spec: str, module: type[nn.Module]) -> None:
    torch.manual_seed(0)
    widths = [30, *[400] * 20, 5]
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), module()]
    net = nn.Sequential(nn.Flatten(), *layers[:-1]).double()
    X = 7 * torch.randn(64, 5, 6, dtype=torch.float64)
    point = initialise_critical_(net, spec, X)
    z = net[:2](X).requires_grad_()
    length, out = z.square().mean().item(), net[2:](z)
    assert length == pytest.approx(point.q0, rel=0.3)
    deep = net[2:-1](z)
    assert z.square().mean() / 3 < deep.square().mean() < 3 * z.square().mean()
    v = torch.randn_like(out)
    (gradient,) = torch.autograd.grad((out * v).sum(), z)
    change = gradient.square().sum() / v.square().sum() * point.q0
    assert 0.1 < change.item() < 10
    weights = [layer.weight for layer in net if isinstance(layer, nn.Linear)]
    assert all(weight.mean(1).abs().max() < 1e-12 for weight in weights[1:])


def test_two_activations_get_the_same_random_numbers() -> None:
    def draw(spec: str, module: nn.Module) -> torch.Tensor:
        last = nn.Linear(8, 2)
        net = nn.Sequential(nn.Linear(4, 8), module, last)
        made = torch.Generator().manual_seed(3)
        initialise_critical_(net, spec, torch.ones(2, 4), generator=made)
        flat: torch.Tensor = last.weight.detach().flatten()
        return flat / flat.square().sum().sqrt()

    assert torch.allclose(draw("relu", nn.ReLU()), draw("softplus", nn.Softplus()))


class Shortcut(nn.Module):
    """Adds its input, which no list of its modules shows."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.relu(self.inner(x))


class Backwards(nn.Module):
    """Registers the output layer first."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.hidden = nn.Linear(64, 2), nn.Linear(4, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.out(torch.relu(self.hidden(x)))
        return y


@pytest.mark.parametrize(
    ("between", "said"),
    [
        ([nn.Softplus()], "does not get relu of the layer before"),
        ([nn.ReLU(), nn.Dropout(0.5)], "is Dropout"),
        ([nn.ReLU(), nn.BatchNorm1d(4)], "is BatchNorm1d"),
        ([nn.ReLU(), nn.LayerNorm(4, elementwise_affine=False)], "does not get relu"),
        ([nn.ReLU(), Shortcut()], "does not get relu"),
        ([nn.ReLU(), nn.Linear(4, 1), nn.ReLU(), nn.Linear(1, 4), nn.ReLU()], "has one input"),
        ([nn.ReLU(), nn.Linear(4, 4, bias=False), nn.ReLU()], "has no biases"),
        ([nn.ReLU(), nn.LazyLinear(4), nn.ReLU()], "is LazyLinear"),
    ],
)
def test_what_would_not_be_critical_is_refused(between: list[nn.Module], said: str) -> None:
    net = nn.Sequential(nn.Linear(3, 4), *between, nn.Linear(4, 2))
    first = net[0]
    assert isinstance(first, nn.Linear)
    before = first.weight.clone()
    with pytest.raises(UsageError, match=said):
        initialise_critical_(net, "relu", torch.randn(8, 3))
    assert torch.equal(before, first.weight)
    assert not any(module._forward_hooks for module in net.modules())


def test_a_model_that_fails_is_told_in_one_line() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(ActcompareError, match="the model fails on the data: RuntimeError"):
        initialise_critical_(net, "relu", torch.randn(8, 5))


def test_layers_are_taken_in_the_order_of_their_calls() -> None:
    net, X = Backwards(), torch.randn(200, 4)
    with torch.no_grad():
        initialise_critical_(net, "relu", X.numpy())  # type: ignore[arg-type]
    assert net.out.bias.abs().max() == 0
    assert net.hidden(X).square().mean().item() == pytest.approx(1, rel=0.5)


def test_other_models_are_refused_unchanged() -> None:
    convolution = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Linear(2, 2))
    before = [parameter.clone() for parameter in convolution.parameters()]
    with pytest.raises(UsageError, match="0 is Conv2d: critical initialisation is for plain"):
        initialise_critical_(convolution, "relu", torch.ones(1, 1))
    assert all(map(torch.equal, before, convolution.parameters()))
    with pytest.raises(UsageError, match="linear layers in the model: 1, called: 1"):
        initialise_critical_(nn.Linear(2, 2), "relu", torch.ones(1, 2))
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with pytest.raises(ActcompareError, match="mean square of the inputs is 0"):
        initialise_critical_(net, "relu", torch.zeros(3, 2))
    with pytest.raises(UsageError, match="one activation, not 2"):
        initialise_critical_(net, ["relu", "tanh"], torch.ones(3, 2))
