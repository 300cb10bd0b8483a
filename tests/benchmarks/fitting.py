"""Fits of a user's own: overhead over a plain loop, speed-up, and being killed.

    python tests/benchmarks/fitting.py [overhead] [speedup] [killed] [killed_on_ray]

The fit takes about a second: it trains on a core, or waits, as for a GPU; the latter also shows the
harness where other processes want the cores. The last line is JSON.
"""

import argparse
import contextlib
import json
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from actcompare.activations.spec import parse
from actcompare.studies.engines.apart import environments_of, fits_apart
from actcompare.studies.fits.load import MakeActivation
from actcompare.studies.fits.plan import FitPlan, make_fit_plan

ACTS = ("relu", "silu")
STEPS = 3000
"""Steps of a fit that takes about a second."""
WAY: dict[str, dict[str, Any]] = {"trains": {"steps": STEPS}, "waits": {"steps": 0, "waits": 1.0}}
"""Settings of the two kinds of fits."""


def fit(activation: Callable[[], nn.Module], seed: int, steps: int, waits: float = 0) -> float:
    """Train a small net, in one thread, and wait."""
    time.sleep(waits)
    torch.manual_seed(seed)
    x = torch.randn(256, 16)
    y = torch.sin(x.sum(1, keepdim=True))
    net = nn.Sequential(nn.Linear(16, 64), activation(), nn.Linear(64, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    loss = torch.tensor(float(seed))
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return -float(loss.detach())


def plan_of(way: str, seeds: int) -> FitPlan:
    return make_fit_plan(ACTS, f"{__file__}:fit", seeds=seeds, settings=WAY[way])


def plainly(way: str, seeds: int) -> float:
    """The seconds of a plain loop over the same runs."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    for seed in range(seeds):
        for act in ACTS:
            fit(MakeActivation(parse(act)), seed, **WAY[way])
    return time.perf_counter() - start


def by_workers(way: str, seeds: int, workers: int) -> tuple[float, float]:
    """The seconds of a study, whole and from the first result on."""
    plan, ends = plan_of(way, seeds), list[float]()
    start = time.perf_counter()
    for _ in fits_apart(plan, plan.groups(), environments_of(plan, 0, workers)):
        ends.append(time.perf_counter() - start)
    return ends[-1], ends[-1] - ends[0]


def overhead(way: str, rounds: int, seeds: int = 5) -> dict[str, float]:
    """One worker against a plain loop: per run once it is loaded, and the loading itself."""
    ratios, loading, cells, plain = [], [], seeds * len(ACTS), 0.0
    for _ in range(rounds):
        plain = plainly(way, seeds)
        whole, later = by_workers(way, seeds, 1)
        ratios.append(later / (plain * (cells - 1) / cells))
        loading.append(whole - later * cells / (cells - 1))
    ratio, load = statistics.median(ratios), statistics.median(loading)
    print(f"{way}: one worker over a plain loop, per run: {ratio:.4f}; loading: {load:.1f} s")
    return {"overhead": ratio - 1, "loading_s": load, "fit_s": plain / cells}


def speedup(way: str, rounds: int, seeds: int = 10) -> dict[str, float]:
    """Two workers against one, with and without the time in which they load torch."""
    gains, steady, cells = [], [], seeds * len(ACTS)
    for _ in range(rounds):
        (one, later_one), (two, later_two) = (by_workers(way, seeds, count) for count in (1, 2))
        gains.append(one / two)
        steady.append((later_one / (cells - 1)) / (later_two / (cells - 2)))
    gain, gain_later = statistics.median(gains), statistics.median(steady)
    print(f"{way}: two workers over one: {gain:.2f}; once torch is loaded: {gain_later:.2f}")
    return {"speedup": gain, "speedup_loaded": gain_later}


RUNS = 20
"""Runs of a study that is killed."""


# --- killed --------------------------------------------------------------------------------------


def command(engine: Sequence[str]) -> list[str]:
    return [
        *(sys.executable, "-m", "actcompare", "study", "--train", f"{__file__}:fit"),
        *("--act", "relu", "--act", "silu", "--seeds", str(RUNS // 2)),
        *("--set", f"steps={STEPS // 5}"),
        *("--format", "csv", "--quiet", "--workers", "2", *engine),
    ]


def runs_in(path: Path) -> int:
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM cells").fetchone()[0])
    except sqlite3.Error:
        return 0


def table(text: str) -> list[list[str]]:
    """The answer without times."""
    return [line.split(",")[:-1] for line in text.splitlines()]


def killed(times: int, engine: Sequence[str] = ()) -> dict[str, Any]:
    """SIGKILL of the driver at random moments; the same command then goes on."""
    whole = subprocess.run(command(engine), capture_output=True, text=True, check=True)
    moments, same, kept = random.Random(0), 0, list[int]()
    with tempfile.TemporaryDirectory() as folder:
        while len(kept) < times:
            path = Path(folder) / f"{len(kept)}.db"
            stored = [*command(engine), "--store", str(path)]
            process = subprocess.Popen(stored, stdout=subprocess.DEVNULL)
            wanted = moments.randrange(RUNS)
            while runs_in(path) < wanted and process.poll() is None:
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.3 if wanted else 3))
            process.send_signal(signal.SIGKILL)
            if process.wait() != -signal.SIGKILL:
                path.unlink()
                continue
            kept.append(runs_in(path))
            again = subprocess.run(stored, capture_output=True, text=True, check=True)
            same += table(again.stdout) == table(whole.stdout)
    print(f"killed {times} times, with {sorted(kept)} of {RUNS} runs stored: {same} the same")
    return {"killed": times, "same": same, "kept": sorted(kept)}


def main() -> None:
    sections: dict[str, Callable[[], Any]] = {
        "overhead": lambda: {way: overhead(way, asked.rounds) for way in WAY},
        "speedup": lambda: {way: speedup(way, asked.rounds) for way in WAY},
        "killed": lambda: killed(asked.times),
        "killed_on_ray": lambda: killed(asked.times, ("--engine", "ray")),
    }
    parser = argparse.ArgumentParser()
    parser.add_argument("sections", nargs="*", choices=list(sections), default=list(sections))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=int, default=20)
    asked = parser.parse_args()
    print(json.dumps({name: sections[name]() for name in asked.sections}))


if __name__ == "__main__":
    main()
