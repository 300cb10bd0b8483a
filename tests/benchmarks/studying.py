"""Studies: speed against other ways, growth, agreement with `train`, statistics, being killed.

    python tests/benchmarks/studying.py [speed] [growth] [agreement] [statistics] [killed] [ray]

Loops run interleaved in one run; ratios are medians over rounds. Each section ends with a line of
JSON. `--device cuda` is for speed and growth.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actcompare import CATALOGUE, study
from actcompare.data.splits import Part, split
from actcompare.machine.allocator import allocator
from actcompare.machine.generators import batch_order
from actcompare.stats import difference_verdict, interquartile_mean, sign_flip_p, t_interval
from actcompare.studies.cells import run_group
from actcompare.studies.plan import Plan, make_plan
from actcompare.studies.records import CellResult
from actcompare.studies.store import Store
from actcompare.training.learning.ensemble import Ensemble
from actcompare.training.learning.nets import make_net
from actcompare.training.run import Run

MEMBERS, BATCH, LR, MOMENTUM = 64, 128, 0.01, 0.9
EPOCHS = 24
"""Between two looks at the clock, so that processes are awake and caches their own."""
CORES = len(os.sched_getaffinity(0))


def regression() -> tuple[np.ndarray, np.ndarray]:
    """16 inputs, 1 output, 2,560 samples of which 1,792 are for training: 14 whole batches."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2560, 16))
    return X, np.tanh(X @ rng.standard_normal((16, 1))) + 0.1 * rng.standard_normal((2560, 1))


WORKS: dict[str, Any] = {"16-64-1": regression(), "digits 64-64-10": "digits"}


def plan_of(act: str, work: str, optimizer: str, device: str, members: int = MEMBERS) -> Plan:
    return make_plan(
        act,
        WORKS[work],
        seeds=members,
        lr=LR,
        batch_size=BATCH,
        optimizer=optimizer,
        device=device,
        momentum=MOMENTUM if optimizer == "sgd" else None,
        epochs=1,
    )


def prepared(plan: Plan, cells: Any) -> tuple[Ensemble, Part]:
    """An ensemble of the cells, and its training data."""
    device = torch.device(plan.config.net.device)
    nets = [make_net(plan.recipe(cell), torch.float32, device) for cell in cells]
    ensemble = Ensemble(nets, [plan.config.run(cell) for cell in cells])
    scale = plan.config.net.scale
    parts = [
        split(plan.dataset, seed, torch.float32, device, scale=scale).train
        for seed in ensemble.seeds
    ]
    return ensemble, Part(torch.stack([p.X for p in parts]), torch.stack([p.y for p in parts]))


# --- the ways to train 64 nets ---------------------------------------------------------------


def serve(connection: Any, plan: Plan, groups: Any) -> None:
    """A worker: its groups, an epoch at a time."""
    torch.set_num_threads(1)
    held = [prepared(plan, group) for group in groups]
    connection.send("ready")
    with allocator("warm"):  # as `run_group` has it
        while True:
            epoch = connection.recv()
            for ensemble, part in held:
                ensemble.learn(part, epoch)
            connection.send("done")


class Ours:
    """Groups as `study` makes them, dealt out to a process per core; on a GPU one process."""

    def __init__(self, plan: Plan) -> None:
        groups = list(plan.groups())
        context = multiprocessing.get_context("spawn")
        self.links = []
        self.here: list[tuple[Ensemble, Part]] = []
        if plan.config.net.device != "cpu":
            self.here = [prepared(plan, group) for group in groups]
            return
        for k in range(min(CORES, len(groups))):
            near, far = context.Pipe()
            worker = context.Process(target=serve, args=(far, plan, groups[k::CORES]), daemon=True)
            worker.start()
            self.links.append(near)
        for link in self.links:
            link.recv()

    def epoch(self, k: int) -> None:
        for ensemble, part in self.here:
            ensemble.learn(part, k)
        for link in self.links:
            link.send(k)
        for link in self.links:
            link.recv()


class OneAtATime:
    """The usual loop with torch.optim, member after member: a few of them, for they are alike."""

    def __init__(self, plan: Plan, few: int = 2) -> None:
        device = torch.device(plan.config.net.device)
        self.members = few
        self.part = prepared(plan, list(plan.config.cells())[:few])[1]
        self.nets = [
            make_net(plan.recipe(cell), torch.float32, device)
            for cell in list(plan.config.cells())[:few]
        ]
        for net in self.nets:
            net.train()
        adam = plan.config.net.optimizer == "adam"
        self.optimizers = [
            torch.optim.Adam(net.parameters(), lr=LR)
            if adam
            else torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM)
            for net in self.nets
        ]
        classes = plan.config.net.task == "classification"
        self.criterion = nn.CrossEntropyLoss() if classes else nn.MSELoss()

    def epoch(self, k: int) -> None:
        for m, (net, optimizer) in enumerate(zip(self.nets, self.optimizers, strict=True)):
            X, y = self.part.X[m], self.part.y[m]
            order = batch_order(len(X), m, k, X.device)
            for rows in torch.split(order, BATCH):
                optimizer.zero_grad()
                loss = self.criterion(net(X[rows]), y[rows])
                loss.backward()
                optimizer.step()


class Vmapped:
    """torch.func: stack_module_state, vmap of grad_and_value, one update of stacked tensors."""

    def __init__(self, plan: Plan) -> None:
        device = torch.device(plan.config.net.device)
        cells = list(plan.config.cells())
        self.part = prepared(plan, cells)[1]
        nets = [make_net(plan.recipe(cell), torch.float32, device) for cell in cells]
        self.params, _ = torch.func.stack_module_state(nets)
        net = nets[0]
        classes = plan.config.net.task == "classification"
        criterion = nn.functional.cross_entropy if classes else nn.functional.mse_loss

        def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return criterion(torch.func.functional_call(net, params, (x,)), y)

        self.gradients = torch.vmap(torch.func.grad_and_value(loss))
        tensors = [p.detach().requires_grad_() for p in self.params.values()]
        self.params = dict(zip(self.params, tensors, strict=True))
        adam = plan.config.net.optimizer == "adam"
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(tensors, lr=LR)
            if adam
            else torch.optim.SGD(tensors, lr=LR, momentum=MOMENTUM)
        )

    def epoch(self, k: int) -> None:
        X, y = self.part.X, self.part.y
        members, samples = X.shape[:2]
        order = torch.stack([batch_order(samples, m, k, X.device) for m in range(members)])
        which = torch.arange(members, device=X.device)[:, None]
        for rows in torch.split(order, BATCH, 1):
            params = {name: p.detach() for name, p in self.params.items()}
            gradients, _ = self.gradients(params, X[which, rows], y[which, rows])
            for name, p in self.params.items():
                p.grad = gradients[name]
            self.optimizer.step()


class Jax:
    """jax.jit of vmap of scan over whole batches, with optax."""

    def __init__(self, plan: Plan) -> None:
        jax, jnp, optax = map(import_module, ("jax", "jax.numpy", "optax"))
        config = plan.config.net
        self.jax: Any = jax
        part = prepared(plan, list(plan.config.cells()))[1]
        nets = [
            make_net(plan.recipe(cell), torch.float32, torch.device("cpu"))
            for cell in plan.config.cells()
        ]
        stacked, _ = torch.func.stack_module_state(nets)
        self.params = {name: jnp.asarray(p.detach().numpy()) for name, p in stacked.items()}
        classes = config.task == "classification"
        rule = optax.adam(LR) if config.optimizer == "adam" else optax.sgd(LR, momentum=MOMENTUM)
        act = {"relu": jax.nn.relu, "softplus": jax.nn.softplus}[plan.config.activations[0]]

        def loss(p: Any, x: Any, y: Any) -> Any:
            z = x @ p["hidden1.weight"].T + p["hidden1.bias"]
            out = act(z) @ p["output.weight"].T + p["output.bias"]
            if classes:
                return optax.softmax_cross_entropy_with_integer_labels(out, y).mean()
            return jnp.mean((out - y) ** 2)

        def member(p: Any, state: Any, X: Any, y: Any, order: Any) -> Any:
            def step(carry: Any, rows: Any) -> Any:
                p, state = carry
                value, gradient = jax.value_and_grad(loss)(p, X[rows], y[rows])
                change, state = rule.update(gradient, state, p)
                return (optax.apply_updates(p, change), state), value

            (p, state), values = jax.lax.scan(step, (p, state), order)
            return p, state, values

        self.X, self.y = (jnp.asarray(t.cpu().numpy()) for t in (part.X, part.y))
        self.state = jax.vmap(rule.init)(self.params)
        self.run = jax.jit(jax.vmap(member))
        self.samples = self.X.shape[1] // BATCH * BATCH

    def epoch(self, k: int) -> None:
        members, samples = self.X.shape[:2]
        order = np.stack(
            [
                np.random.default_rng([m, 2, k]).permutation(samples)[: self.samples]
                for m in range(members)
            ]
        ).reshape(members, -1, BATCH)
        self.params, self.state, values = self.run(self.params, self.state, self.X, self.y, order)
        self.jax.block_until_ready(values)


class ProductsAlone:
    """The products of the steps through bmm, and nothing else: the arithmetic's limit."""

    def __init__(self, plan: Plan) -> None:
        config = plan.config.net
        device = torch.device(config.device)
        inputs, hidden, outputs = config.input_size, config.hidden, config.output_size
        self.x = torch.randn(MEMBERS, BATCH, inputs, device=device)
        self.W1 = torch.randn(MEMBERS, hidden, inputs, device=device)
        self.W2 = torch.randn(MEMBERS, outputs, hidden, device=device)
        self.a = torch.randn(MEMBERS, hidden, BATCH, device=device)
        self.d = torch.randn(MEMBERS, outputs, BATCH, device=device)
        self.steps = -(-prepared(plan, list(plan.config.cells())[:1])[1].X.shape[1] // BATCH)

    def epoch(self, k: int) -> None:  # noqa: ARG002
        for _ in range(self.steps):
            torch.bmm(self.W1, self.x.transpose(1, 2))
            torch.bmm(self.W2, self.a)
            torch.bmm(self.d, self.a.transpose(1, 2))
            torch.bmm(self.W2.transpose(1, 2), self.d)
            torch.bmm(self.a, self.x)


WAYS: dict[str, Callable[[Plan], Any]] = {
    "ours": Ours,
    "one at a time": OneAtATime,
    "vmap": Vmapped,
    "jax": Jax,
    "bmm alone": ProductsAlone,
}


def speed(asked: argparse.Namespace) -> list[dict[str, Any]]:
    print(f"{MEMBERS} members, batch {BATCH}, {asked.device}, {CORES} cores: ours over others")
    found = []
    for work in WORKS:
        for optimizer in ("adam", "sgd"):
            for act in ("relu", "softplus"):
                plan = plan_of(act, work, optimizer, asked.device)
                ways, first = {}, {}
                for name, make in WAYS.items():
                    start = time.perf_counter()
                    ways[name] = make(plan)
                    ways[name].epoch(1)
                    settle()
                    first[name] = time.perf_counter() - start
                rates: dict[str, list[float]] = {name: [] for name in ways}
                samples = prepared(plan, list(plan.config.cells())[:1])[1].X.shape[1]
                for k in range(asked.rounds):
                    for name in random.sample(list(ways), len(ways)):
                        start = time.perf_counter()
                        for epoch in range(EPOCHS):
                            ways[name].epoch(EPOCHS * k + epoch + 2)
                        settle()
                        members = getattr(ways[name], "members", MEMBERS)
                        seen = samples // BATCH * BATCH if name == "jax" else samples
                        seconds = time.perf_counter() - start
                        rates[name].append(EPOCHS * members * seen / seconds)
                middle = {name: statistics.median(each) for name, each in rates.items()}
                over = {
                    name: statistics.median(
                        a / b for a, b in zip(rates["ours"], rates[name], strict=True)
                    )
                    for name in ways
                    if name != "ours"
                }
                ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in over.items())
                starts = ", ".join(f"{name} {s:.1f} s" for name, s in first.items())
                print(f"{work} {optimizer} {act}: {middle['ours'] / 1e6:.2f} M samples/s; {ratios}")
                print(f"  with start-up and compiling, the first epoch: {starts}")
                found.append({"work": work, "optimizer": optimizer, "act": act, "over": over,
                              "samples_per_s": middle, "first_s": first})  # fmt: skip
    return found


def settle() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


# --- growth ----------------------------------------------------------------------------------


def growth(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Whole studies in one process of their own: seconds a cell, and peak memory."""
    print("cells, seconds a cell over that of 64, peak memory over that of 256")
    found = []
    code = (
        "import json, resource, sys, time, actcompare\n"
        "n = int(sys.argv[1])\n"
        "actcompare.study('relu', seeds=2, lr=0.1, epochs=2, workers=1, device=sys.argv[2])\n"
        "start = time.perf_counter()\n"
        "actcompare.study('relu', seeds=n, lr=0.1, epochs=5, batch_size=128, workers=1,"
        " device=sys.argv[2])\n"
        "taken = time.perf_counter() - start\n"
        "print(json.dumps([taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))"
    )
    per: dict[int, list[tuple[float, int]]] = {64: [], 256: [], 1024: [], 4096: []}
    for _ in range(3):
        for cells in per:
            done = subprocess.run(
                [sys.executable, "-c", code, str(cells), asked.device],
                capture_output=True,
                text=True,
                check=True,
            )
            seconds, peak = json.loads(done.stdout)
            per[cells].append((seconds / cells, peak))
    for cells, seen in per.items():
        time_ratio = statistics.median(a / b for (a, _), (b, _) in zip(seen, per[64], strict=True))
        memory = statistics.median(a / b for (_, a), (_, b) in zip(seen, per[256], strict=True))
        print(f"{cells:>5}  {time_ratio:.3f}  {memory:.3f}")
        found.append({"cells": cells, "time": time_ratio, "memory": memory})
    return found


# --- agreement -------------------------------------------------------------------------------


def agreement(asked: argparse.Namespace) -> dict[str, Any]:
    """One epoch, batched and by `train`: weights and test metric, over the catalogue."""
    worst, same, runs = 0.0, 0, 0
    for entry in CATALOGUE:
        plan = make_plan(entry.spec, seeds=3, epochs=1, lr=[0.1, 0.03], device=asked.device)
        (group,) = plan.groups()
        ensemble, part = prepared(plan, group)
        ensemble.learn(part, 1)
        for m, (cell, result) in enumerate(zip(group, run_group(plan, group), strict=True)):
            run = Run(plan.recipe(cell))
            for _ in run.epochs():
                pass
            alone = run.report()
            batched = ensemble.state_dict(m)
            apart = max(float((batched[k] - alone.weights[k]).abs().max()) for k in batched)
            assert isinstance(result, CellResult)
            worst, runs = max(worst, apart), runs + 1
            same += result.test.metric == alone.test.metric
    print(f"{len(CATALOGUE)} activations, {runs} runs: weights differ by at most {worst:.1e}, test"
          f" metric equal in {same}")  # fmt: skip
    return {"runs": runs, "apart": worst, "same_metric": same}


# --- statistics ------------------------------------------------------------------------------


def statistics_(asked: argparse.Namespace) -> dict[str, Any]:  # noqa: ARG001
    """A/A studies, and how often an interval of 95 % holds the truth."""
    claims = {"better": 0, "worse": 0, "same": 0, "unclear": 0}
    for first in range(200):
        settings: dict[str, Any] = {
            "seeds": 10,
            "epochs": 3,
            "hidden": 16,
            "lr": 0.1,
            "margin": 0.0,
        }
        relu, leaky = (
            study(act, seed=10 * (2 * first + k), workers=1, **settings)
            for k, act in enumerate(("relu", "leaky_relu:negative_slope=0"))
        )
        pairs = [
            b.test.metric - a.test.metric for a, b in zip(relu.results, leaky.results, strict=True)
        ]
        claims[difference_verdict(t_interval(pairs), 0.0)] += 1
    print(f"A/A, 200 studies of 10 seeds, relu against itself on other seeds: {claims}")
    rng, coverage = np.random.default_rng(0), {}
    for n in (3, 5, 10, 20):
        held = 0
        for _ in range(20_000):
            interval = t_interval(rng.standard_normal(n) + 1)
            held += interval.low <= 1 <= interval.high
        coverage[n] = held / 20_000
    print("coverage of the t interval:", coverage)
    false = {}
    for n in (6, 10, 20):
        p_values = [sign_flip_p(rng.standard_normal(n)) for _ in range(2000)]
        false[n] = sum(p <= 0.05 for p in p_values) / 2000
    print("sign-flip p at most 0.05 without a difference:", false)
    middle = interquartile_mean(rng.standard_normal(10_000))
    return {"claims": claims, "coverage": coverage, "false": false, "iqm_of_normal": middle}


# --- killed ----------------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "actcompare", "study", "--act", "relu", "--act", "softplus",
           "--seeds", "40", "--epochs", "10", "--quiet", "--format", "csv"]  # fmt: skip


def table(text: str) -> list[list[str]]:
    """The table without the times of steps, which are never the same."""
    lines = [line.split(",") for line in text.splitlines()]
    keep = [i for i, name in enumerate(lines[0]) if name not in ("step_s", "waited_share")]
    return [[line[i] for i in keep] for line in lines]


def killed(asked: argparse.Namespace) -> dict[str, Any]:  # noqa: ARG001
    """SIGKILL at random moments, of the driver, of a Ray worker and of a node of two."""
    start = time.perf_counter()
    whole = subprocess.run(COMMAND, capture_output=True, text=True, check=True)
    seconds, moments = time.perf_counter() - start, random.Random(0)
    same, kept = 0, list[int]()
    with tempfile.TemporaryDirectory() as folder:
        while len(kept) < 25:
            path = Path(folder) / f"{len(kept)}.db"
            command = [*COMMAND, "--store", str(path)]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            time.sleep(moments.uniform(0.3, 1.0) * seconds)
            process.send_signal(signal.SIGKILL)
            if process.wait() != -signal.SIGKILL:
                path.unlink()
                continue
            done = 0
            if path.exists():
                with contextlib.suppress(Exception), Store(path) as store:
                    done = len(store.outcomes())
            kept.append(done)
            again = subprocess.run(command, capture_output=True, text=True, check=True)
            same += table(again.stdout) == table(whole.stdout)
    print(f"driver killed 25 times, with {sorted(kept)} of 400 runs stored: {same} tables the same")
    by_ray = {how: _killed_on_ray(how, table(whole.stdout)) for how in ("worker", "node")}
    return {"driver": same, "kept": kept, "ray": by_ray}


@contextlib.contextmanager
def two_nodes() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def _killed_on_ray(how: str, whole: list[list[str]], times: int = 10) -> int:
    """Ray's own processes killed while the study runs; the driver lives."""
    same, hits, moments = 0, 0, random.Random(1)
    for _ in range(times):
        with two_nodes() as cluster:
            process = subprocess.Popen(
                [*COMMAND, "--engine", "ray", "--address", cluster.address],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            deadline = time.monotonic() + 60
            while not (workers := _training_workers()) and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(moments.uniform(0.5, 3.0))
            if how == "worker":
                for pid in moments.sample(workers, 1):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        hits += process.poll() is None
            else:
                cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
                hits += process.poll() is None
            out, err = process.communicate(timeout=300)
            equal = process.returncode == 0 and table(out) == whole
            same += equal
            if not equal:
                print(process.returncode, err[-500:])
    print(f"a Ray {how} killed {times} times ({hits} while it ran): {same} tables the same")
    return same


def _training_workers() -> list[int]:
    """Processes of Ray that run a group just now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(b"ray::run_group"):
                found.append(int(path.parent.name))
    return found


# --- ray -------------------------------------------------------------------------------------


def ray_(asked: argparse.Namespace) -> dict[str, Any]:  # noqa: ARG001
    """Ray with two workers against one, and against two local processes, start aside."""
    import ray

    from actcompare.studies.engines.ray_cluster import on_ray
    from actcompare.studies.engines.workers import local

    plan = make_plan(["relu", "softplus"], seeds=200, epochs=10)
    groups = list(plan.groups())
    warm = groups[:1] * 1 + groups[-1:]

    def by_ray(workers: int) -> float:
        ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
        for _ in on_ray(plan, warm * workers):
            pass
        start = time.perf_counter()
        for _ in on_ray(plan, groups):
            pass
        taken = time.perf_counter() - start
        ray.shutdown()
        return taken

    def locally(workers: int) -> float:
        outcomes, start = local(plan, [*warm, *groups], workers), 0.0
        for i, _ in enumerate(outcomes):
            start = time.perf_counter() if i == 1 else start
        return time.perf_counter() - start

    one, two, here, one_here = [], [], [], []
    for _ in range(5):
        one.append(by_ray(1))
        two.append(by_ray(2))
        here.append(locally(2))
        one_here.append(sum(_timed(plan, group) for group in groups))
    gain = statistics.median(a / b for a, b in zip(one, two, strict=True))
    slower = statistics.median(a / b for a, b in zip(two, here, strict=True))
    local_gain = statistics.median(a / b for a, b in zip(one_here, here, strict=True))
    print(f"Ray, two workers over one: {gain:.2f}; local, two over one: {local_gain:.2f};"
          f" Ray over local, two workers: {slower:.3f}")  # fmt: skip
    return {"ray_gain": gain, "local_gain": local_gain, "ray_over_local": slower}


def _timed(plan: Plan, group: Any) -> float:
    start = time.perf_counter()
    run_group(plan, group)
    return time.perf_counter() - start


SECTIONS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "speed": speed,
    "growth": growth,
    "agreement": agreement,
    "statistics": statistics_,
    "killed": killed,
    "ray": ray_,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sections", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    for name in asked.sections:
        print(json.dumps({"section": name, "result": SECTIONS[name](asked)}))


if __name__ == "__main__":
    main()
