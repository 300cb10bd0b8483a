"""Mixtures of experts: the units are those of each expert, however the experts are called."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from actcompare import inspect_model

EXPERTS, WIDTH, UNITS = 4, 6, 5


class Mixture(nn.Module):
    """Expert e has its first e units dead, and tokens go to all experts but one."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(EXPERTS, UNITS, WIDTH))
        with torch.no_grad():
            for e in range(EXPERTS):
                self.up[e, :e] = -torch.ones(WIDTH)

    def ids(self, tokens: int) -> Tensor:
        return torch.arange(tokens) % (EXPERTS - 1)


class OneByOne(Mixture):
    def forward(self, x: Tensor) -> Tensor:
        ids, out = self.ids(len(x)), x.new_zeros(len(x), UNITS)
        for e in reversed(range(EXPERTS - 1)):
            out[ids == e] = F.relu(F.linear(x[ids == e], self.up[e]))
        return out


class AllAtOnce(Mixture):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(torch.bmm(x.expand(EXPERTS, *x.shape), self.up.transpose(1, 2)))


class Picked(Mixture):
    def forward(self, x: Tensor) -> Tensor:
        weights = self.up[self.ids(len(x))]
        return F.relu(torch.bmm(weights, x.unsqueeze(-1)).squeeze(-1))


class Modules(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, UNITS), nn.ReLU()) for _ in range(EXPERTS)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.experts[0](x) + self.experts[2](x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", [OneByOne, AllAtOnce, Picked])
def test_units_belong_to_their_expert(kind: type[Mixture]) -> None:
    torch.manual_seed(0)
    found = inspect_model(kind(), torch.rand(24, WIDTH))
    hit = EXPERTS if kind is AllAtOnce else EXPERTS - 1
    assert {layer.module for layer in found.layers} == {f"[{e}]" for e in range(hit)}
    for layer in found.layers:
        expert = int(layer.module[1:-1])
        dead = layer.verdicts["zero_dead"].nonzero().flatten().tolist()
        assert set(range(expert)) <= set(dead)
        assert layer.units == UNITS
        assert layer.number == 1
    assert sum(layer.statistics.values for layer in found.layers) == 24 * (
        EXPERTS if kind is AllAtOnce else 1
    )


def test_experts_without_tokens_are_named() -> None:
    found = inspect_model(OneByOne(), torch.rand(24, WIDTH))
    assert [str(each) for each in found.unseen] == ["(model): 1 of 4 experts got no token (3)"]
    found = inspect_model(Modules(), torch.rand(24, WIDTH))
    assert [str(each) for each in found.unseen] == ["experts: 2 of 4 experts got no token (1, 3)"]
