"""Training: its speed against ordinary loops, what watching costs, collapse, and being killed.

    python tests/benchmarks/learning.py [speed] [watching] [collapse] [killed] [--device cuda]

Loops run interleaved, in random order, in one process; ratios are medians over rounds of one epoch.
Each section ends with a line of JSON.
"""

import argparse
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from actcompare import SimpleNet, parse, train
from actcompare.data.splits import Part, split
from actcompare.machine.generators import batch_order
from actcompare.training.checkpoints import Folder
from actcompare.training.learning.learner import Learner
from actcompare.training.learning.optimizers import make_optimizer
from actcompare.training.run import Run
from actcompare.training.settings import make_recipe

LR, MOMENTUM = 0.1, 0.9


def digits(device: str) -> Part:
    recipe = make_recipe(device=device)
    return split(recipe.dataset, 0, torch.float32, torch.device(device), scale="unit").train


def fresh(act: str, device: str) -> SimpleNet:
    torch.manual_seed(0)
    where = torch.device(device)
    return SimpleNet(64, 64, 10, parse(act).build(torch.float32, where)).to(where)


def textbook(net: nn.Module, part: Part, batch_size: int) -> Callable[[Tensor], None]:
    optimizer = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM)
    criterion = nn.CrossEntropyLoss()
    where = part.X.device
    samples = TensorDataset(part.X.cpu(), part.y.cpu())

    def epoch(order: Tensor) -> None:
        net.train()
        loader = DataLoader(samples, batch_size=batch_size, sampler=order.tolist())
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(net(x.to(where)), y.to(where))
            loss.backward()
            optimizer.step()

    return epoch


def plain(net: nn.Module, part: Part, batch_size: int) -> Callable[[Tensor], None]:
    optimizer = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM)
    criterion = nn.CrossEntropyLoss()

    def epoch(order: Tensor) -> None:
        net.train()
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            optimizer.zero_grad()
            loss = criterion(net(part.X[batch]), part.y[batch])
            loss.backward()
            optimizer.step()

    return epoch


def ours(net: SimpleNet, part: Part, batch_size: int) -> Callable[[Tensor], None]:
    learner = Learner(net, "classification", make_optimizer("sgd", LR, MOMENTUM, 0.0))
    return lambda order: void(learner.learn(part, order, batch_size))


def void(_: object) -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def speed(device: str, rounds: int) -> list[dict[str, Any]]:
    part, results = digits(device), []
    print(f"samples a second on digits, {device}, {torch.get_num_threads()} threads")
    print(f"{'batch':>5} {'act':<10} {'textbook':>10} {'plain':>10} {'ours':>10}", end="")
    print("  over textbook  over plain  weights differ by")
    for batch_size in (32, 128):
        for act in ("relu", "softplus"):
            nets = {name: fresh(act, device) for name in ("textbook", "plain", "ours")}
            loops = {
                "textbook": textbook(nets["textbook"], part, batch_size),
                "plain": plain(nets["plain"], part, batch_size),
                "ours": ours(nets["ours"], part, batch_size),
            }
            first = batch_order(len(part), 0, 1, part.X.device)
            for loop in loops.values():
                loop(first)
            differ = max(
                float((p - q).detach().abs().max())
                for name in ("textbook", "plain")
                for p, q in zip(nets[name].parameters(), nets["ours"].parameters(), strict=True)
            )
            seconds: dict[str, list[float]] = {name: [] for name in loops}
            for i in range(rounds):
                order = batch_order(len(part), 0, i, part.X.device)
                for name in random.sample(list(loops), 3):
                    start = time.perf_counter()
                    loops[name](order)
                    void(None)
                    seconds[name].append(time.perf_counter() - start)
            ratio = {
                name: statistics.median(
                    a / b for a, b in zip(seconds[name], seconds["ours"], strict=True)
                )
                for name in ("textbook", "plain")
            }
            per_s = {name: len(part) / statistics.median(seconds[name]) for name in loops}
            print(
                f"{batch_size:>5} {act:<10}"
                + "".join(f" {per_s[name]:>10,.0f}" for name in loops)
                + f"  {ratio['textbook']:>13.2f}  {ratio['plain']:>10.2f}  {differ:.1e}"
            )
            results.append(
                {"batch_size": batch_size, "act": act, "over": ratio, "differ": differ, **per_s}
            )
    return results


def watching(device: str, rounds: int) -> list[dict[str, Any]]:
    """Whole runs, watched on the training set and not at all: bits, and time per epoch."""
    print(f"watching every epoch, {device}: time of an epoch over the unwatched one's, same bits")
    results = []
    for batch_size in (32, 128):
        for act in ("relu", "softplus", "gelu"):
            runs = {
                on: Run(make_recipe(act, track_on=on, batch_size=batch_size, device=device,
                                    epochs=10**6))
                for on in ("train", None)
            }  # fmt: skip
            steps = {on: run.epochs() for on, run in runs.items()}
            seconds: dict[Any, list[float]] = {on: [] for on in runs}
            for i in range(rounds + 3):
                for on in random.sample(["train", None], 2):
                    start = time.perf_counter()
                    next(steps[on])
                    void(None)
                    if i >= 3:
                        seconds[on].append(time.perf_counter() - start)
            ratios = [a / b for a, b in zip(seconds["train"], seconds[None], strict=True)]
            one, two = (run.net.state_dict() for run in runs.values())
            same = all(torch.equal(one[name], two[name]) for name in one)
            ratio = statistics.median(ratios)
            print(f"batch {batch_size:>4} {act:<10} {ratio:.3f}  {same}")
            results.append({"batch_size": batch_size, "act": act, "ratio": ratio, "same": same})
    return results


def collapse(device: str, rounds: int) -> list[dict[str, Any]]:  # noqa: ARG001
    print("digits, 64 units, SGD with momentum 0.9, 5 epochs: dead units of 64, test accuracy")
    results = []
    for lr in (2.0, 0.5):
        for act in ("relu", "softplus"):
            for seed in range(3):
                run = train(act, lr=lr, epochs=5, seed=seed, device=device)
                counts = run.history[-1].layers[0].counts()
                result = {"lr": lr, "act": act, "seed": seed, "accuracy": run.test.metric}
                result |= {name: counts[name] for name in ("zero_dead", "gradient_dead")}
                print("  ".join(f"{name} {value}" for name, value in result.items()))
                results.append(result)
    return results


def killed(device: str, rounds: int) -> dict[str, Any]:  # noqa: ARG001
    """SIGKILL at random moments, then --resume, against the unbroken run."""
    command = [sys.executable, "-m", "actcompare", "train", "--act", "softplus", "--epochs", "150"]
    command += ["--optimizer", "adam", "--device", device, "--quiet"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        silent(command, "--save", str(folder / "whole"))
        whole_s = time.perf_counter() - start
        whole = Folder.open(folder / "whole").load()
        same = 0
        at: list[int] = []
        moments = random.Random(0)
        while len(at) < 25:
            path = folder / str(len(at))
            process = subprocess.Popen(
                [*command, "--save", str(path)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(moments.uniform(0.4, 1.0) * whole_s)
            process.send_signal(signal.SIGKILL)
            if process.wait() != -signal.SIGKILL:  # it was done before
                shutil.rmtree(path)
                continue
            if path.exists() and any(path.glob("epoch-*")):
                with Folder.open(path) as opened:
                    at.append(opened.load().history[-1].epoch)
                silent([*command[:4], "--quiet"], "--resume", str(path))
            else:
                at.append(-1)
                silent(command, "--save", str(path))
            again = Folder.open(path).load()
            equal = all(torch.equal(again.weights[k], whole.weights[k]) for k in whole.weights)
            same += equal and [strip(e) for e in again.history] == [strip(e) for e in whole.history]
            shutil.rmtree(path)
    print(f"killed 25 times, after the epochs {sorted(at)} of 150: {same} ended identical")
    return {"killed": 25, "identical": same, "after_epoch": at}


def strip(epoch: Any) -> Any:
    return (epoch.epoch, epoch.train, epoch.validation, epoch.layers)


def silent(command: list[str], *more: str) -> None:
    subprocess.run([*command, *more], check=True, stdout=subprocess.DEVNULL)


SECTIONS: dict[str, Callable[[str, int], Any]] = {
    "speed": speed,
    "watching": watching,
    "collapse": collapse,
    "killed": killed,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sections", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=60)
    asked = parser.parse_args()
    for name in asked.sections:
        result = SECTIONS[name](asked.device, asked.rounds)
        print(json.dumps({"section": name, "device": asked.device, "result": result}))


if __name__ == "__main__":
    main()
