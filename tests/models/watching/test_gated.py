"""Products with an activation: gated feed-forward nets, GLU, and z * f(z)."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from actcompare import inspect_model, swap_activations

ACTS: dict[str, Callable[[Tensor], Tensor]] = {
    "swiglu": F.silu,
    "geglu": F.gelu,
    "reglu": F.relu,
    "glu": torch.sigmoid,
    "mish_glu": F.mish,
}


class Gated(nn.Module):
    """f(gate) * up, where up is 0 in two units of eight, and the gate flat in one more."""

    def __init__(self, name: str, joined: bool) -> None:
        super().__init__()
        self.act, self.joined = ACTS[name], joined
        self.both = nn.Linear(6, 16)
        with torch.no_grad():
            self.both.weight[8:10] = 0.0
            self.both.bias[8:10] = 0.0
            self.both.bias[2] -= 1000.0

    def forward(self, x: Tensor) -> Tensor:
        if self.joined:
            gate, up = self.both(x).chunk(2, -1)
        else:
            weight, bias = self.both.weight, self.both.bias
            gate, up = F.linear(x, weight[:8], bias[:8]), F.linear(x, weight[8:], bias[8:])
        return self.act(gate) * up  # type: ignore[no-any-return]


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("name", ACTS)
def test_the_unit_of_a_gated_net_is_the_product(name: str, joined: bool) -> None:
    torch.manual_seed(0)
    found = inspect_model(Gated(name, joined), torch.randn(50, 6))
    gate, product = found.layers
    assert (gate.role, product.role, product.use) == ("gate", "unit", name)
    assert product.verdicts["zero_dead"].nonzero().flatten().tolist() == [0, 1, 2]
    assert product.verdicts["gradient_dead"].nonzero().flatten().tolist() == [2]
    assert found.total()["units"] == 8


@pytest.mark.parametrize("dim", [1, -1])
def test_glu_is_judged_like_its_parts_and_swapped_by_its_gate(dim: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(40, 6)
    model = nn.Sequential(nn.Linear(6, 8), nn.GLU(dim))
    with torch.no_grad():
        model[0].bias[4] -= 50.0  # type: ignore[operator, index]
        model[0].weight[1] = model[0].bias[1] = 0.0  # type: ignore[operator]
    gate, unit = inspect_model(model, x).layers
    assert (gate.use, gate.role, unit.use, unit.units) == ("sigmoid", "gate", "glu", 4)
    assert unit.verdicts["zero_dead"].nonzero().flatten().tolist() == [1]
    assert unit.verdicts["gradient_dead"].nonzero().flatten().tolist() == [0]
    twin, _ = swap_activations(model, {"sigmoid": "silu"})
    a, b = model[0](x).chunk(2, -1)
    assert torch.equal(twin(x), a * F.silu(b))


SELF: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": lambda z: z * torch.sigmoid(z),
    "quick_gelu": lambda z: torch.sigmoid(1.702 * z) * z,
    "hardswish": lambda z: z * F.hardsigmoid(z),
    "x*relu6": lambda z: z * F.relu6(z + 3),
    "x*relu": lambda z: z * F.relu(z),
}


@pytest.mark.parametrize("name", SELF)
def test_an_activation_times_its_own_input_is_judged_by_its_slope(name: str) -> None:
    class Composed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            return SELF[name](self.fc(x))

    torch.manual_seed(0)
    model = Composed()
    with torch.no_grad():
        model.fc.bias[0] = 6.0
        model.fc.bias[1] = -400.0
    x = torch.randn(50, 6)
    part, whole = inspect_model(model, x).layers
    assert (part.role, whole.role, whole.use) == ("gate", "unit", name)
    z = model.fc(x).detach().requires_grad_()
    SELF[name](z).sum().backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert torch.allclose(whole.statistics.slope, z.grad.abs().amax(0).double(), atol=1e-4)


def test_a_gate_of_another_shape_is_no_unit() -> None:
    class Squeeze(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 1), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            a = F.relu(self.conv(x))
            return a * self.fc(a.mean((2, 3))).sigmoid()[..., None, None]  # type: ignore[no-any-return]

    found = inspect_model(Squeeze(), torch.randn(3, 3, 5, 5))
    assert [(layer.use, layer.role) for layer in found.layers] == [
        ("relu", "unit"),
        ("sigmoid", "gate"),
    ]
    assert "1 gates" not in found.reading()
    assert found.total()["layers"] == 1
