"""Activations in whole models: what is called different, what is found, what it costs to look.

    pip install -r tests/benchmarks/requirements.txt
    python tests/benchmarks/nets.py [same] [found] [twelve] [stacked] [windows] [--runs 100]

same     a model against itself (as-is, as-is): how often `bench_model` calls them different, in
         runs of 2 s; torch.utils.benchmark's Compare beside it
found    an activation that costs 3 % more of the model's time: how often it is called slower
twelve   twelve architectures of timm, torchvision and transformers: times with another activation
stacked  `study --model`: seeds together by vmap, over one at a time; largest difference of weights
windows  a training loop with `watch(model).every(100)`, over the loop without

Each section ends with a line of JSON.
"""

import argparse
import contextlib
import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from actcompare import bench_model, watch
from actcompare.benchmark.nets.copies import make_copies
from actcompare.studies.cells import run_group
from actcompare.studies.plan import make_plan

# --- models --------------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1, self.bn2, self.relu = (
            nn.BatchNorm2d(channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + x)  # type: ignore[no-any-return]


def small_resnet() -> tuple[nn.Module, Tensor, str]:
    stem = (nn.Conv2d(3, 32, 3, padding=1), nn.ReLU())
    blocks = (Block(32) for _ in range(3))
    net = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    return net, torch.randn(8, 3, 32, 32), "relu"


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (4, -1)).mT for t in self.qkv(self.norm(x)).chunk(3, -1))
        x = x + self.out(F.scaled_dot_product_attention(q.mT, k.mT, v.mT).flatten(-2))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


def small_transformer() -> tuple[nn.Module, Tensor, str]:
    return nn.Sequential(*(Attention(128) for _ in range(4))), torch.randn(8, 64, 128), "gelu"


SMALL = {"small ResNet": small_resnet, "small transformer": small_transformer}

# --- same and found ------------------------------------------------------------------------------


def call(x: Tensor, model: nn.Module) -> object:
    return model(x)


def run_same(runs: int) -> dict[str, Any]:
    from tests.benchmarks.harnesses import torch_compare

    found: dict[str, Any] = {}
    for name, make in SMALL.items():
        model, x, _ = make()
        wrong = theirs = busy = 0
        for seed in range(runs):
            result = bench_model(
                model, x, ["as-is", "as-is"], passes="forward", time_limit=2.0, threads=1, seed=seed
            )
            verdict = result.table.records[1]["verdict"]
            wrong += verdict in ("faster", "slower")
            busy += "busy" in verdict
            one, other = make_copies(model.eval(), "", [None, None], partial(call, x))
            assert isinstance(one, nn.Module)
            assert isinstance(other, nn.Module)
            with torch.no_grad():
                answer = torch_compare(partial(one, x), partial(other, x), 2.0, 0)
            theirs += answer.different["colour"]
        found[name] = {"runs": runs, "different": wrong, "busy": busy, "compare": theirs}
        print(name, found[name], flush=True)
    return found


class Slower(nn.Module):
    """An activation, and a linear layer of a known cost beside it."""

    def __init__(self, act: Callable[[Tensor], Tensor], size: int) -> None:
        super().__init__()
        self.act, self.size = act, size
        self.a, self.b = torch.randn(64, size), torch.randn(size, 64)

    def forward(self, z: Tensor) -> Tensor:
        torch.mm(self.a, self.b)
        return self.act(z)


def run_found(runs: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, make in SMALL.items():
        model, x, old = make()
        act = {"relu": torch.relu, "gelu": F.gelu}[old]
        size, true = calibrated(model, x, old, act)
        slower = same = busy = 0
        for seed in range(runs):
            result = bench_model(
                model, x, [old, Slower(act, size)], passes="forward", time_limit=2.0, threads=1,
                seed=seed,
            )  # fmt: skip
            verdict = result.table.records[1]["verdict"]
            slower, same = slower + (verdict == "slower"), same + (verdict in ("same", "faster"))
            busy += "busy" in verdict
        found[name] = {"true": true, "runs": runs, "found": slower, "wrong": same, "busy": busy}
        print(name, found[name], flush=True)
    return found


def calibrated(
    model: nn.Module, x: Tensor, old: str, act: Callable[[Tensor], Tensor]
) -> tuple[int, float]:
    """Return a size of the extra layer that costs 3 %, and the ratio of a run of 10 s."""
    size, ratio = 256, 1.0
    for limit in (2.0, 2.0, 4.0, 10.0):
        found = bench_model(
            model, x, [old, Slower(act, size)], passes="forward", time_limit=limit, threads=1
        )
        ratio = found.table.records[1]["ratio"]
        if limit < 10:
            size = max(8, int(size * min(8, max(0.125, 0.03 / max(1e-3, ratio - 1)))))
    return size, round(ratio, 4)


# --- twelve --------------------------------------------------------------------------------------


def twelve() -> dict[str, tuple[Callable[[], nn.Module], Any, str, str]]:
    timm, vision, hf = map(import_module, ("timm", "torchvision.models", "transformers"))
    small = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
    ids = {"input_ids": torch.randint(0, 99, (4, 64))}

    def of(kind: str, **more: Any) -> Callable[[], nn.Module]:
        config = getattr(hf, f"{kind}Config")(vocab_size=99, **more)
        return lambda: hf.AutoModel.from_config(config)

    def by(name: str) -> Callable[[], nn.Module]:
        return lambda: timm.create_model(name)

    image = torch.randn(4, 3, 128, 128)
    return {
        "timm resnet18": (by("resnet18"), image, "relu", "silu"),
        "timm convnext_atto": (by("convnext_atto"), image, "gelu", "relu"),
        "timm efficientnet_b0": (by("efficientnet_b0"), image, "silu", "relu"),
        "timm mobilenetv3_small_100": (by("mobilenetv3_small_100"), image, "hardswish", "relu"),
        "timm vit_tiny": (by("vit_tiny_patch16_224"), torch.randn(2, 3, 224, 224), "gelu", "relu"),
        "timm mixer_s32": (by("mixer_s32_224"), torch.randn(2, 3, 224, 224), "gelu", "silu"),
        "torchvision squeezenet1_1": (vision.squeezenet1_1, image, "relu", "gelu"),
        "torchvision shufflenet": (vision.shufflenet_v2_x0_5, image, "relu", "silu"),
        "hf Llama": (of("Llama", intermediate_size=344, **small), ids, "silu", "gelu"),
        "hf Bert": (of("Bert", intermediate_size=512, **small), ids, "gelu", "relu"),
        "hf GPT2": (of("GPT2", n_embd=128, n_layer=4, n_head=4), ids, "gelu", "relu"),
        "hf T5": (
            of("T5", d_model=128, d_ff=512, num_layers=3, num_heads=4),
            ids | {"decoder_input_ids": ids["input_ids"]},
            "relu",
            "gelu",
        ),
    }


def run_twelve(_: int) -> dict[str, Any]:
    found = {}
    for name, (make, batch, old, new) in twelve().items():
        result = bench_model(
            make(), batch, [old, new], name=name, passes=["forward", "step"], threads=1,
            time_limit=5.0,
        )  # fmt: skip
        rows = result.table.records
        parts = []
        for base, row in zip(rows[::2], rows[1::2], strict=True):
            if row["ratio"] is None:
                parts += ["failed"]
                continue
            parts.append(
                f"{row['ratio']:.3f} ({row['ratio_low']:.3f} to {row['ratio_high']:.3f})"
                f" {row['verdict']}; {100 * max(0, base['activation_share']):.0f} %"
            )
        more = (rows[3]["saved_bytes"] or 0) / (rows[2]["saved_bytes"] or 1)
        print(f"| {name} | {result.config.calls} | {old} -> {new} | {' | '.join(parts)}"
              f" | {more:.2f} |", flush=True)  # fmt: skip
        found[name] = {"calls": result.config.calls, "failures": result.failures()}
    return found


# --- stacked -------------------------------------------------------------------------------------


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.out = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.out(F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1))  # type: ignore[no-any-return]


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def tokens() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 32), Attention(32), nn.Flatten(), nn.Linear(256, 10))


def run_stacked(_: int) -> dict[str, Any]:
    from actcompare.training.learning.learners import make_learner, make_twin
    from actcompare.training.learning.stacked import Stacked

    found = {}
    models: dict[str, tuple[Any, tuple[int, ...], str]] = {
        "MLP": (mlp, (), "relu"),
        "CNN": (Convolutions, (1, 8, 8), "relu"),
        "transformer": (tokens, (8, 8), "gelu"),
    }
    for name, (make, shape, act) in models.items():
        plan = make_plan([act, "silu"], model=make, input_shape=shape, seeds=16, lr=0.05, epochs=2)
        cells = [cell for cell in plan.config.cells() if cell.activation == act]
        alone = replace(plan, config=replace(plan.config, alone="to compare"))
        ratios = []
        for _ in range(5):
            taken = {}
            for key, each in random.sample([("alone", alone), ("together", plan)], 2):
                began = time.perf_counter()
                run_group(each, cells)
                taken[key] = time.perf_counter() - began
            ratios.append(taken["alone"] / taken["together"])
        found[name] = {
            "ratio": round(statistics.median(ratios), 2),
            "why_alone": plan.config.alone,
            "largest_difference": apart(plan, cells, make_learner, make_twin, Stacked),
        }
        print(name, found[name], flush=True)
    return found


def apart(plan: Any, cells: Any, make_learner: Any, make_twin: Any, stacked: Any) -> float:
    """Return the largest difference of a weight after one epoch."""
    from actcompare.data.splits import Part, split
    from actcompare.machine.generators import batch_order

    largest, cpu = 0.0, torch.device("cpu")
    for cell in cells[:2]:
        recipe = plan.recipe(cell)
        train = split(
            recipe.dataset, cell.seed, torch.float32, cpu, scale=recipe.config.scale
        ).train
        twin, _ = make_twin(recipe, train, torch.float32, cpu)
        together = stacked([twin], [recipe.config])
        together.learn(Part(train.X[None], train.y[None]), 1)
        _, learner = make_learner(recipe, train, torch.float32, cpu)
        order = batch_order(len(train), cell.seed, 1, cpu)
        learner.learn(train, order, recipe.config.batch_size)
        weights = torch.cat([p.detach().reshape(-1) for p in learner.net.parameters()])
        largest = max(largest, float((weights - together.weights()[0]).abs().max()))
    return largest


# --- windows -------------------------------------------------------------------------------------


def train_steps(model: nn.Module, x: Tensor, rule: torch.optim.Optimizer, count: int) -> None:
    for _ in range(count):
        loss = model(x).square().mean()
        loss.backward()
        rule.step()
        rule.zero_grad()


def run_windows(_: int) -> dict[str, Any]:
    found: dict[str, list[float]] = {}
    for title, make in SMALL.items():
        model, x, _act = make()
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)

        steps = partial(train_steps, model, x, optimizer)
        steps(10)
        ratios, floor = [], []
        for _ in range(7):
            taken: dict[str, float] = {}
            for key in random.sample(["bare", "again", "watched"], 3):
                units = watch(model).every(100, log=[]) if key == "watched" else None
                began = time.perf_counter()
                with units or contextlib.nullcontext():
                    steps(100)
                taken[key] = time.perf_counter() - began
            ratios.append(taken["watched"] / taken["bare"])
            floor.append(taken["again"] / taken["bare"])
        found[title] = [round(statistics.median(each), 4) for each in (ratios, floor)]
        print(title, "watched, again:", found[title], flush=True)
    return {"watched_over_bare": found}


def main() -> None:
    sections: dict[str, Callable[[int], dict[str, Any]]] = {
        "same": run_same,
        "found": run_found,
        "twelve": run_twelve,
        "stacked": run_stacked,
        "windows": run_windows,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", default=[*sections])
    parser.add_argument("--runs", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for section in arguments.sections:
        print(json.dumps({section: sections[section](arguments.runs)}), flush=True)


if __name__ == "__main__":
    main()
