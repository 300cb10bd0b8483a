"""Finding dead units in models as people write them: right answers, and what they cost.

    pip install -r tests/benchmarks/requirements.txt
    python tests/benchmarks/inspecting.py [traps] [batches] [speed] [every] [memory] [unchanged]
        [--device cuda]

Each section ends with a line of JSON.
"""

import argparse
import contextlib
import copy
import io
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from actcompare import inspect_model, watch
from actcompare.units.statistics import VERDICTS

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
from tests.models.watching.test_watch import Raising, alike, state_of
from tests.models.zoo import ZOO, make

# --- traps ---------------------------------------------------------------------------------------


class Trap(NamedTuple):
    """A model in which so many units are dead, whatever a count of zeros says."""

    name: str
    model: nn.Module
    batches: list[Tensor]
    dead: int
    """Units of all activations through which no gradient comes on any sample."""


def linear(inputs: int, units: int, dead: int = 0, bias: float = -50.0) -> nn.Linear:
    """A layer of which the first units are shifted far to one side."""
    layer = nn.Linear(inputs, units)
    with torch.no_grad():
        layer.bias[:dead] += bias
    return layer


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.act = linear(8, 16, 5), linear(16, 16, 16, 2), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.fc2(self.act(self.fc1(x))))  # type: ignore[no-any-return]


class Calls(nn.Module):
    def __init__(self, act: Callable[[Tensor], Tensor], layer: nn.Module) -> None:
        super().__init__()
        self.fc, self.call = layer, act

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.fc(x))


class Overwritten(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act = linear(8, 16, 5), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.act(self.fc(x))
        return h.add_(1.0)


class Opposed(nn.Module):
    """A channel whose two positions are of opposite sign, so that their mean is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv1d(8, 4, 1, bias=False), nn.LeakyReLU(1.0)

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x[:, :, None])
        return self.act(torch.cat([z, -z], 2))  # type: ignore[no-any-return]


def channels() -> nn.Module:
    conv = nn.Conv2d(1, 8, 3)
    with torch.no_grad():
        assert conv.bias is not None
        conv.bias[:3] -= 50
    return nn.Sequential(nn.Unflatten(1, (1, 4, 2)), nn.ZeroPad2d(1), conv, nn.ReLU())


def parametrised() -> nn.Module:
    act = nn.PReLU(16)
    with torch.no_grad():
        act.weight[:4] = 0.0
    return nn.Sequential(linear(8, 16, 6), act)  # 4 of the 6 shifted ones have no slope


def rarely() -> list[Tensor]:
    """Batches of which the last alone makes some units fire."""
    x = [torch.randn(32, 8).abs() for _ in range(4)]
    x[-1][-1] = -60
    return x


class Positive(nn.Module):
    """The first 4 units fire on negative samples alone, 3 more never."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act = linear(8, 16, 3, -500), nn.ReLU()
        with torch.no_grad():
            self.fc.weight[3:7] = -0.1 * self.fc.weight[3:7].abs()
            self.fc.bias[3:7] = -1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.fc(x))  # type: ignore[no-any-return]


def traps() -> list[Trap]:
    torch.manual_seed(0)
    x = [torch.randn(32, 8) for _ in range(4)]
    normed = nn.Sequential(linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(), nn.ReLU()).train()
    with torch.no_grad():
        normed[1].running_mean[:5] += 50  # type: ignore[operator, index]
    transformer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with torch.no_grad():
        transformer.linear1.bias[:5] -= 50
    relu6 = nn.Sequential(linear(8, 16, 5, 50), nn.ReLU6())
    clamped = Calls(lambda z: z.clamp(min=0), linear(8, 16, 5))
    return [
        Trap("a unit that fires in the last batch alone", Positive(), rarely(), 3),
        Trap("one module used twice", Reused(), x, 5),
        Trap("a call: F.relu", Calls(F.relu, linear(8, 16, 5)), x, 5),
        Trap("in place, and overwritten after", Overwritten(), x, 5),
        Trap("a ReLU6 stuck at 6", relu6, x, 5),
        Trap("channels of a convolution", channels(), x, 3),
        Trap("both signs, mean 0", Opposed(), x, 0),
        Trap("batch norm and dropout in training mode", normed, x, 5),
        Trap("a PReLU with slopes of 0", parametrised(), x, 4),
        Trap("softplus, flat but not 0", nn.Sequential(linear(8, 16, 5, -20), nn.Softplus()), x, 5),
        Trap("a relu written clamp(min=0)", clamped, x, 5),
        Trap("inside nn.TransformerEncoderLayer", transformer, x, 5),
    ]  # fmt: skip


def ours(trap: Trap) -> int:
    inputs = [x[:, None] for x in trap.batches] if "Transformer" in trap.name else trap.batches
    return sum(layer.dead for layer in inspect_model(trap.model, inputs).layers)


def torchdiags(trap: Trap) -> int:
    """As its README has it: one batch."""
    import torchdiag

    x = trap.batches[0][:, None] if "Transformer" in trap.name else trap.batches[0]
    with contextlib.redirect_stdout(io.StringIO()):
        found = torchdiag.check_dead_neurons(trap.model, x)
    return sum(layer["dead"] for layer in found.values())


_ACTS = ("relu", "prelu", "leakyrelu", "softplus", "clamp", "hardtanh", "gelu", "relu6")


def torchlenss(trap: Trap) -> int:
    """tl.dead over a trace of every sample, at the sites of activations; a channel where all is."""
    import torchlens

    count, model = 0, copy.deepcopy(trap.model)
    x = torch.cat(trap.batches)[-24:]  # a trace of a sample takes a third of a second
    x = x[:, None] if "Transformer" in trap.name else x
    if isinstance(model, nn.Sequential) and any(isinstance(m, nn.BatchNorm1d) for m in model):
        traces = [
            torchlens.trace(model, part) for part in torch.split(x, 8)
        ]  # needs more than a sample
    else:
        traces = [torchlens.trace(model, part) for part in torch.split(x, 1)]
    resolved = torchlens.dead(traces).resolve(traces[0])
    for entry in resolved._entries:
        site = str(entry).partition("'")[2].partition("'")[0]
        if site.partition("_")[0] in _ACTS:
            mask = entry.mask.reshape(entry.mask.shape[0], entry.mask.shape[1], -1)
            count += int(mask.all(0).all(1).sum())
    return count


def run_traps() -> dict[str, Any]:
    peers = {"ours": ours, "torchdiag": torchdiags, "torchlens": torchlenss}
    right = dict.fromkeys(peers, 0)
    print(f"{'trap':<44}{'dead':>6}" + "".join(f"{name:>12}" for name in peers))
    answers: dict[tuple[str, str], str] = {}
    for name, peer in peers.items():  # one after the other: torchlens replaces torch's functions
        for trap in traps():
            try:
                answers[name, trap.name] = str(peer(trap))
            except ImportError:
                answers[name, trap.name] = "not here"
            except Exception as error:
                answers[name, trap.name] = type(error).__name__
            right[name] += answers[name, trap.name] == str(trap.dead)
    for trap in traps():
        told = {name: answers[name, trap.name] for name in peers}
        print(f"{trap.name:<44}{trap.dead:>6}" + "".join(f"{told[name]:>12}" for name in peers))
    return {"traps": len(traps()), **{f"{name}_right": count for name, count in right.items()}}


# --- verdicts and batches ------------------------------------------------------------------------


def run_batches(device: str) -> dict[str, Any]:
    """Whether verdicts are the same at batch size 1, 7, 64 and all."""
    same = True
    for name in ZOO:
        model, samples = make(name)
        x = samples(256)
        seen = [
            inspect_model(model, x, batch_size=size, device=device).units()[list(VERDICTS)]
            for size in (1, 7, 64, 256)
        ]
        same &= all(other.equals(seen[0]) for other in seen[1:])
    return {"models": len(ZOO), "same_verdicts": same}


# --- speed ---------------------------------------------------------------------------------------


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.relu, self.shortcut = nn.ReLU(inplace=True), nn.Sequential()
        if stride != 1 or inputs != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.shortcut(x))  # type: ignore[no-any-return]


def resnet18() -> nn.Module:
    """Convolutions and blocks as in He et al. 2016, for 10 classes."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]  # fmt: skip
    inputs = 64
    for channels, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for s in (stride, 1):
            layers.append(BasicBlock(inputs, channels, s))
            inputs = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def mlp() -> nn.Module:
    return nn.Sequential(*(m for _ in range(4) for m in (nn.Linear(1024, 1024), nn.ReLU())))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True)
    return nn.TransformerEncoder(layer, 6)


def published() -> dict[str, tuple[nn.Module, Any]]:
    """Return nets of timm and transformers, with random weights."""
    timm, transformers = map(import_module, ("timm", "transformers"))
    llama = transformers.LlamaConfig(
        vocab_size=999, hidden_size=256, intermediate_size=688, num_hidden_layers=4,
        num_attention_heads=4,
    )  # fmt: skip
    names = ("resnet18", "densenet121", "convnext_atto", "mobilenetv3_large_100", "efficientnet_b0")
    nets = {name: (timm.create_model(name), torch.randn(8, 3, 160, 160)) for name in names}
    tokens = torch.randint(0, 999, (8, 64))
    return nets | {
        "vit_tiny": (timm.create_model("vit_tiny_patch16_224"), torch.randn(8, 3, 224, 224)),
        "Llama, 4 x 256": (transformers.LlamaModel(llama), tokens),
    }


def run_every(device: str, rounds: int) -> dict[str, Any]:
    """A watched forward pass over a bare one, of published nets, with all and a fourth measured."""
    found: dict[str, dict[int, float]] = {}
    for name, (model, x) in published().items():
        model, x = model.eval().to(device), x.to(device)
        ratios: dict[int, list[float]] = {1: [], 4: []}
        with torch.no_grad():
            watched = {every: watch(model, every=every) for every in ratios}
            for i in range(rounds + 2):
                seconds = {}
                for every in random.sample([0, *ratios], 3):
                    with watched[every] if every else contextlib.nullcontext():
                        start = time.perf_counter()
                        model(x)
                        if device != "cpu":
                            torch.cuda.synchronize()
                        seconds[every] = time.perf_counter() - start
                if i >= 2:
                    for every, each in ratios.items():
                        each.append(seconds[every] / seconds[0])
        found[name] = {every: round(statistics.median(each), 2) for every, each in ratios.items()}
        print(f"{name}: {found[name]}", flush=True)
    return {"watched_over_bare_every": found}


def run_speed(device: str, rounds: int) -> dict[str, Any]:
    """A watched forward pass over a bare one: the median over rounds, in random order.

    A measurement is of five passes, one after the other, as in a loop over batches.
    """
    torch.manual_seed(0)
    works = {
        "mlp 4x1024, batch 256": (mlp(), torch.randn(256, 1024)),
        "resnet18 at 64x64, batch 64": (resnet18(), torch.randn(64, 3, 64, 64)),
        "encoder 6x512, 8 x 64 tokens": (encoder(), torch.randn(8, 64, 512)),
    }
    found = {}
    for name, (model, x) in works.items():
        model, x = model.eval().to(device), x.to(device)

        def timed(model: nn.Module = model, x: Tensor = x) -> float:
            start = time.perf_counter()
            for _ in range(5):
                model(x)
            if device != "cpu":
                torch.cuda.synchronize()
            return time.perf_counter() - start

        ratios, floor = [], []
        with torch.no_grad():
            watched = watch(model)
            for i in range(rounds + 3):
                seconds = {}
                for kind in random.sample(["bare", "again", "watched"], 3):
                    with watched if kind == "watched" else contextlib.nullcontext():
                        seconds[kind] = timed()
                if i >= 3:
                    ratios.append(seconds["watched"] / seconds["bare"])
                    floor.append(seconds["again"] / seconds["bare"])
        found[name] = round(statistics.median(ratios), 3)
        same = round(statistics.median(floor), 3)
        quarters = statistics.quantiles(ratios)
        print(f"{name}: {found[name]} ({quarters[0]:.3f} to {quarters[2]:.3f}); bare twice: {same}")
    return {"watched_over_bare": found}


# --- memory --------------------------------------------------------------------------------------

_PEAK = """
import resource, sys, torch
from torch import nn
from actcompare import inspect_model
model = nn.Sequential(nn.Linear(64, 512), nn.GELU(), nn.Linear(512, 512), nn.ReLU())
inspect_model(model, (torch.randn(64, 64) for _ in range(int(sys.argv[1]) // 64 + 1)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run_memory() -> dict[str, Any]:
    """Peak resident memory of a process over 100,000 samples over that of one over 1,000."""
    peaks = {}
    for samples in (1_000, 100_000):
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, str(samples)], capture_output=True, text=True, check=True
        )
        peaks[samples] = int(done.stdout)
    return {"peak_of_100000_over_1000": round(peaks[100_000] / peaks[1_000], 3)}


# --- unchanged -----------------------------------------------------------------------------------


def run_unchanged() -> dict[str, Any]:
    """Models of the zoo of which nothing changes: weights, modes, hooks, gradients, RNG."""
    unchanged = 0
    for name in ZOO:
        model, samples = make(name)
        model.train()
        for p in model.parameters():
            p.grad = torch.randn_like(p)
        x = samples(50)
        before = state_of(model)
        inspect_model(model, x, batch_size=7, swap={"relu": "softplus"})
        unchanged += alike(state_of(model), before)
    failing, x = Raising().train(), torch.randn(4, 3)
    before = state_of(failing)
    with contextlib.suppress(Exception):
        inspect_model(failing, [x])
    return {
        "models": len(ZOO),
        "unchanged": unchanged,
        "unchanged_where_it_raised": alike(state_of(failing), before),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    sections = ["traps", "batches", "speed", "every", "memory", "unchanged"]
    parser.add_argument("sections", nargs="*", default=sections)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    run: dict[str, Callable[[], dict[str, Any]]] = {
        "traps": run_traps,
        "batches": lambda: run_batches(arguments.device),
        "speed": lambda: run_speed(arguments.device, arguments.rounds),
        "every": lambda: run_every(arguments.device, arguments.rounds),
        "memory": run_memory,
        "unchanged": run_unchanged,
    }
    for section in arguments.sections:
        print(json.dumps({section: run[section]()}), flush=True)


if __name__ == "__main__":
    main()
