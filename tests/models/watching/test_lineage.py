"""The axis of units goes with the tensor; all axes are equally long, so that none stands out."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from actcompare import inspect_model, watch

N = 6
"""Samples, channels, height, width, tokens and features."""


class Computed(nn.Module):
    """A layer of which one unit of N is dead, a way to move its units, and an activation."""

    def __init__(self, layer: nn.Module, move: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.other, self.move = layer, nn.Linear(N, N), move
        with torch.no_grad():
            layer.bias[1] = -50.0  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        z = self.layer(x)
        self.other(x)  # another layer in between
        return F.relu(self.move(z))


OF_IMAGES = {
    "as it is": lambda z: z,
    "tokens": lambda z: z.flatten(2).transpose(1, 2),
    "channels last": lambda z: z.permute(0, 2, 3, 1),
    "there and back": lambda z: z.movedim(1, -1).permute(0, 3, 1, 2),
    "a row": lambda z: z[:, :, 2],
    "some columns": lambda z: z[..., 1::2],
    "one axis more": lambda z: z.unsqueeze(1).unsqueeze(-1),
    "mean over space": lambda z: z.mean((2, 3)),
    "largest in a row": lambda z: z.amax(-1),
    "pooled": lambda z: F.max_pool2d(z, 2),
    "padded": lambda z: F.pad(z, (1, 1, 1, 1)),
    "scaled, and added to": lambda z: 2 * z + torch.zeros(N, N, N, N),
    "joined": lambda z: torch.cat([z, z], -1),
    "stacked": lambda z: torch.stack([z, z], -1),
    "viewed": lambda z: z.reshape(N, N, N * N),
    "split along a row": lambda z: z.chunk(2, -1)[1],
    "copied": lambda z: z.transpose(1, 3).contiguous().clone().double(),
}

OF_TOKENS = {
    "as it is": lambda z: z,
    "turned": lambda z: z.transpose(1, 2),
    "turned by mT": lambda z: z.mT,
    "as rows": lambda z: z.reshape(-1, N),
    "one token": lambda z: z[:, 0],
    "some tokens": lambda z: z[torch.arange(N) > 2],
    "normed": lambda z: F.layer_norm(z, (N,)) if z.min() > 0 else z,
    "masked": lambda z: z.masked_fill(torch.eye(N).bool()[..., None].expand(N, N, N), 1.0)[:, 1:],
}


@pytest.mark.parametrize("name", OF_IMAGES)
def test_channels_stay_the_units_of_a_convolution(name: str) -> None:
    torch.manual_seed(0)
    model = Computed(nn.Conv2d(N, N, 3, padding=1), OF_IMAGES[name])
    assert dead_units(model, torch.randn(N, N, N, N)) == [1]


@pytest.mark.parametrize("name", OF_TOKENS)
def test_columns_stay_the_units_of_a_linear_layer(name: str) -> None:
    torch.manual_seed(0)
    model = Computed(nn.Linear(N, N), OF_TOKENS[name])
    found = dead_units(model, torch.randn(N, N, N))
    assert found == ([] if name == "masked" else [1])


def dead_units(model: nn.Module, x: Tensor) -> list[int]:
    (layer,) = inspect_model(model, [x]).layers
    assert layer.units == N
    return layer.verdicts["zero_dead"].nonzero().flatten().tolist()


class Eca(nn.Module):
    """A gate of N channels, computed by a convolution along the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv = nn.Conv2d(8, 8, 1), nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        gate = self.conv(x.mean((2, 3)).view(len(x), 1, -1)).sigmoid()
        return x * gate.view(len(x), -1, 1, 1)  # type: ignore[no-any-return]


class Scores(nn.Module):
    """Attention scores, capped as in Gemma 2: their units are the heads."""

    def forward(self, x: Tensor) -> Tensor:
        q = x.view(len(x), -1, 2, 4).transpose(1, 2)
        return torch.tanh(q @ q.mT)


def test_a_convolution_along_channels_has_channels_as_units() -> None:
    (gate,) = inspect_model(Eca(), [torch.randn(3, 8, 5, 4)]).layers
    assert (gate.units, gate.role) == (8, "gate")


def test_attention_scores_belong_to_heads_and_are_shown_apart() -> None:
    model, x = nn.Sequential(nn.Linear(8, 8), Scores(), nn.ReLU()), torch.randn(3, 7, 8)
    scores, _ = inspect_model(model, [x]).layers
    assert (scores.units, scores.role) == (2, "attention")


def test_what_is_not_of_a_layer_does_not_count() -> None:
    class Boxes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.fc(x)) + x.clamp(min=0, max=5)

    found = inspect_model(Boxes(), torch.randn(9, 4))
    assert {layer.use: layer.role for layer in found.layers} == {
        "relu": "unit",
        "clamp:min=0,max=5": "bound",
    }
    assert found.total()["units"] == 4


def test_a_router_is_shown_apart() -> None:
    class Routed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.choice, self.fc = nn.Linear(4, 3), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            best = (self.choice(x).sigmoid() + 0.1).topk(2).values
            return F.relu(self.fc(x)) * best.sum(-1, keepdim=True)  # type: ignore[no-any-return]

    found = inspect_model(Routed(), torch.randn(9, 4))
    assert [layer.role for layer in found.layers] == ["router", "unit"]


@pytest.mark.parametrize("shape", [(8, 5, 6, 6), (2, 5, 16, 3)])
def test_every_fourth_value_is_measured_and_all_places_in_turn(shape: tuple[int, ...]) -> None:
    model, x = nn.Sequential(nn.Conv2d(5, 5, 1), nn.SiLU()), torch.randn(shape)
    units = watch(model, every=4)
    for k in range(1, 5):
        with units, torch.no_grad():
            model(x)
        seen = units.layers[0].statistics
        assert seen.values == k * x[:, 0].numel() / 4
    with torch.no_grad():
        a = model(x)
    assert torch.allclose(seen.mean, a.mean((0, 2, 3)).double(), atol=1e-6)
    assert torch.equal(seen.high, a.amax((0, 2, 3)).double())
    assert seen.samples == (8 if len(x) == 8 else 4 * len(x))
