"""What counts as a unit, whatever multiplies it, and what does not."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from actcompare import inspect_model, watch


class Model(nn.Module):
    """Layers of 16 units, and what is done with them."""

    def __init__(self, body: Callable[["Model", Tensor], Tensor]) -> None:
        super().__init__()
        self.fc, self.fc2, self.up = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(8, 16)
        self.scale = nn.Parameter(torch.rand(16))
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, x)


def noisy(a: Tensor, how: str) -> Tensor:
    by = {
        "dropout by hand": lambda: (torch.rand_like(a) > 0.5).float(),
        "ones": lambda: torch.ones_like(a),
        "noise": lambda: 1 + 0.1 * torch.randn_like(a),
        "a threshold": lambda: a > 0.5,
        "softmax": lambda: a.softmax(-1),
        "a constant": lambda: torch.full((16,), 2.0),
    }
    return a * by[how]()


@pytest.mark.parametrize(
    "how", ["dropout by hand", "ones", "noise", "a threshold", "softmax", "a constant"]
)
@pytest.mark.parametrize("act", [F.relu, F.gelu, torch.sigmoid])
def test_what_multiplies_units_does_not_make_them_gates(
    act: Callable[[Tensor], Tensor], how: str
) -> None:
    if (act, how) == (torch.sigmoid, "softmax"):
        pytest.skip("a sigmoid times what is computed from it may well be a gate")
    model = Model(lambda m, x: noisy(act(m.fc(x)), how))
    found = inspect_model(model, torch.randn(32, 8))
    assert [layer.role for layer in found.layers] == ["unit"]
    assert found.total()["units"] == 16


UNITS: dict[str, tuple[Callable[[Model, Tensor], Tensor], tuple[int, ...]]] = {
    "a learned scale": (lambda m, x: torch.sigmoid(m.fc(x)) * m.scale.exp(), (32, 8)),
    "a fixed graph": (lambda m, x: F.relu(torch.ones(5, 5) @ m.fc(x)), (3, 4, 5, 8)),
    "weighted values": (
        lambda m, x: (lambda h: F.gelu((h @ h.mT).softmax(-1) @ h))(m.fc(x)),
        (3, 5, 8),
    ),
    "a residual": (
        lambda m, x: (lambda h: (m.fc2(h.detach()) + h).clamp(min=0))(m.up(x)),
        (32, 8),
    ),
    "heads": (lambda m, x: F.elu(m.fc(x).view(3, 5, 2, 8).transpose(1, 2)), (3, 5, 8)),
    "a shuffle": (
        lambda m, x: F.relu(
            m.fc(x).mT.view(3, 2, 8, 5).transpose(1, 2).reshape(3, 16, 5)
        ),
        (3, 5, 8),
    ),
    "stacked": (lambda m, x: F.relu(torch.stack([m.fc(x), m.up(x)], -1)), (32, 8)),
    "norm over time": (lambda m, x: F.relu(F.layer_norm(m.fc(x).mT, (5,))), (3, 5, 8)),
    "an einsum": (
        lambda m, x: F.relu(torch.einsum("bct,oc->bot", x, m.fc.weight)),
        (3, 8, 16),
    ),
    "maximum of positive numbers": (
        lambda m, x: torch.maximum(m.fc(x) + 99, torch.zeros(())),
        (32, 8),
    ),
    "a filled mask": (lambda m, x: (lambda z: z.masked_fill(z < 0, 0))(m.fc(x)), (32, 8)),
}  # fmt: skip


@pytest.mark.parametrize("name", UNITS)
def test_sixteen_units_are_sixteen_units(name: str) -> None:
    body, shape = UNITS[name]
    found = inspect_model(Model(body), [torch.randn(shape)])
    assert [(layer.role, layer.units) for layer in found.layers] == [("unit", 16)]
    assert found.layers[0].statistics.samples == shape[0]


def test_of_two_activations_the_later_one_gates() -> None:
    model = Model(lambda m, x: (lambda a: a * torch.sigmoid(m.fc2(a)))(torch.sigmoid(m.fc(x))))
    found = inspect_model(model, torch.randn(32, 8))
    assert [layer.role for layer in found.layers] == ["unit", "gate"]


def test_activations_of_parameters_are_no_units() -> None:
    model = Model(lambda m, x: F.relu(m.fc(x)) * torch.sigmoid(m.scale))
    found = inspect_model(model, torch.randn(32, 8))
    assert [layer.role for layer in found.layers] == ["unit", "weight"]


def test_a_model_of_gates_alone_is_described() -> None:
    class Gates(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.conv = nn.Linear(8, 4), nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor, v: Tensor) -> Tensor:
            return self.conv(x) * torch.sigmoid(self.a(v))[..., None, None]  # type: ignore[no-any-return]

    batch = {"x": torch.randn(5, 3, 6, 6), "v": torch.randn(5, 8)}
    found = inspect_model(Gates(), [batch], swap={"sigmoid": "hardsigmoid"})
    assert found.total()["units"] == 0
    assert "1 gate" in found.reading()


@pytest.mark.parametrize("every", [1, 2, 4])
def test_products_are_seen_at_any_share(every: int) -> None:
    def body(m: Model, x: Tensor) -> Tensor:
        z = m.fc(x)
        return F.silu(z) * m.up(x) + F.glu(m.fc2(z)).repeat(1, 2) + z * torch.sigmoid(z)  # type: ignore[no-any-return]

    found = inspect_model(Model(body), [torch.randn(32, 8)], every=every)
    assert [layer.use for layer in found.layers] == [
        *("silu", "swiglu", "sigmoid", "glu", "sigmoid #2".partition(" ")[0], "silu")
    ]
    assert found.total()["units"] == 40


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_tells_identities_and_activations_apart(dtype: torch.dtype) -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.by = nn.Parameter(torch.tensor(0.37))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.by

    class Quick(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.sigmoid(1.702 * x)

    model = nn.Sequential(nn.Linear(8, 16), Scale(), nn.ReLU(), nn.Linear(16, 16), Quick())
    found = inspect_model(model.to(dtype), [torch.randn(32, 8)])
    assert [layer.use for layer in found.layers] == ["relu", "Quick"]


def test_nothing_of_a_pass_is_kept() -> None:
    import gc
    import weakref

    held: list[weakref.ref[Tensor]] = []

    def body(m: Model, x: Tensor) -> Tensor:
        z = m.fc(x)
        held.append(weakref.ref(z))
        return F.silu(z)

    model = Model(body)
    with watch(model):
        model(torch.randn(4, 8))
        gc.collect()
        assert held[0]() is None
