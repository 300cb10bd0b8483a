"""Models of every make, which note for themselves what their activations put out."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class Noting(nn.Module):
    """Keeps what it was told: the name of a use, and its values as (value, unit)."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[str, Tensor]] = []

    def note(self, name: str, a: Tensor, axis: int = -1) -> Tensor:
        if self.noted is not None:
            with torch._C.DisableTorchFunction():
                copy = a.detach().clone()
                self.noted.append((name, copy.movedim(axis, -1).reshape(-1, copy.shape[axis])))
        return a


class Modules(Noting):
    """Activations as modules, one of them used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 5)
        self.act, self.smooth = nn.ReLU(), nn.Softplus(beta=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.note("act / relu", self.act(self.fc1(x) - 0.5))
        x = self.note("act / relu #2", self.act(self.fc2(x)))
        return self.note("smooth / softplus:beta=2", self.smooth(self.fc3(x)))


class Functions(Noting):
    """Activations as calls, by every spelling."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.slope = nn.Parameter(torch.full((6,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.note("(model) / relu", F.relu(self.fc(x)))
        x = self.note("(model) / relu #2", torch.relu(self.fc(x)))
        x = self.note("(model) / relu #3", self.fc(x).relu())
        x = self.note("(model) / relu6", F.relu6(20 * self.fc(x)))
        x = self.note("(model) / gelu:approximate=tanh", F.gelu(self.fc(x), approximate="tanh"))
        x = self.note("(model) / leaky_relu:negative_slope=0.2", F.leaky_relu(self.fc(x), 0.2))
        x = self.note("(model) / prelu", F.prelu(self.fc(x), self.slope))
        x = self.note("(model) / tanh", self.fc(x).tanh())
        x = self.note("(model) / clamp:min=0", self.fc(x).clamp(min=0))
        x = self.note("(model) / logsigmoid", F.logsigmoid(self.fc(x)))
        return self.note("(model) / sigmoid", torch.sigmoid(self.fc(x)))


class InPlace(Noting):
    """Activations that overwrite their input, in every spelling."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.elu = nn.ELU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        self.note("(model) / relu", torch.relu_(x))
        z = self.fc(x)
        z.tanh_()
        self.note("(model) / tanh", z)
        z = self.note("elu / elu", self.elu(self.fc(z)))
        z = self.note("(model) / silu", F.silu(self.fc(z), inplace=True))
        return self.note("(model) / hardtanh", F.hardtanh(self.fc(z), -1.0, 1.0, True))


class Block(Noting):
    """A residual block whose one activation is used twice."""

    def __init__(self, channels: int, act: nn.Module, owner: Noting, name: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1, self.bn2, self.act = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels), act
        self.name, self.told = name, owner.note

    def forward(self, x: Tensor) -> Tensor:
        y = self.told(f"{self.name}.act / relu", self.act(self.bn1(self.conv1(x))), 1)
        y = self.bn2(self.conv2(y)) + x
        return self.told(f"{self.name}.act / relu #2", self.act(y), 1)


class Residual(Noting):
    """A small residual net; all blocks share one module."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.ReLU(inplace=True)
        self.stem = nn.Conv2d(3, 4, 3)
        self.blocks = nn.Sequential(*(Block(4, act, self, f"blocks.{i}") for i in range(2)))
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.note("(model) / hardswish", F.hardswish(self.stem(x)), 1)
        return self.head(self.blocks(x).mean((2, 3)))  # type: ignore[no-any-return]


class Sequences(Noting):
    """Attention, normalisation, and activations over (sample, time, unit)."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.wide, self.narrow = nn.LayerNorm(8), nn.Linear(8, 12), nn.Linear(12, 8)
        self.along = nn.Conv1d(8, 7, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.words(x)
        h = self.norm(h + self.attention(h, h, h, need_weights=False)[0])
        h = h + self.narrow(self.note("(model) / gelu", F.gelu(self.wide(h))))
        h = self.note("(model) / mish", F.mish(self.along(h.transpose(1, 2))), 1)
        return h.mean(2)


class Timewise(Noting):
    """Samples on the second axis."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(6, 9), nn.Linear(9, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.note("(model) / softsign", F.softsign(self.fc(x.transpose(0, 1))))
        y = torch.sigmoid(self.head(h.mean(0)).squeeze(-1))
        self.note("(model) / sigmoid", y[:, None])
        return y


def _dead(model: nn.Module) -> nn.Module:
    """With a few units of the first linear layer dead."""
    layer = next(m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d))
    with torch.no_grad():
        assert layer.bias is not None
        layer.bias[:2] -= 50
    return model


def floats(*shape: int) -> Callable[[int], Tensor]:
    return lambda n: torch.randn(n, *shape, generator=torch.Generator().manual_seed(n))


def words(n: int) -> Tensor:
    return torch.randint(0, 20, (n, 6), generator=torch.Generator().manual_seed(n))


ZOO: dict[str, tuple[Callable[[], Noting], Callable[[int], Tensor]]] = {
    "modules": (Modules, floats(6)),
    "functions": (Functions, floats(6)),
    "in_place": (InPlace, floats(6)),
    "residual": (Residual, floats(3, 9, 9)),
    "sequences": (Sequences, words),
    "timewise": (Timewise, floats(4, 6)),
}


def make(name: str) -> tuple[Noting, Callable[[int], Tensor]]:
    """A model of the zoo in `eval()` mode with dead units, and its samples."""
    kind, samples = ZOO[name]
    torch.manual_seed(0)
    model = kind()
    _dead(model)
    return model.eval(), samples
