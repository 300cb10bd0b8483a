"""`time_paired` against other harnesses, on the same functions and in the same measuring time.

    pip install -r tests/benchmarks/requirements.txt
    python tests/benchmarks/harnesses.py aa detect spread coverage default [--busy]

aa        the same function twice: how often each harness calls it different
detect    5 % more elements: how often each finds it, with the right sign
spread    softplus / relu, over again: how far each one's ratio scatters
coverage  how often our 95 % interval of softplus / relu holds a long run's median
default   seconds of `actcompare bench` as it comes

Each section prints a table and one line of JSON. Every harness gets its budget, half of it for each
function where it times them one after the other; within a trial they run in random order. What a
peer spends on calibrating and warming up comes on top, as it does in the peer; the column `seconds`
has the median of all that a trial took, analysis included.
"""

import argparse
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import softplus
from torch.utils.benchmark import Compare, Timer
from torch.utils.benchmark.utils.compare import BEST

from actcompare import Timings, time_paired
from actcompare.machine.allocator import allocator
from actcompare.machine.stopwatch import cpu_timer
from actcompare.stats import Estimate, ratio_interval

Work = Callable[[], object]
Floats = npt.NDArray[np.float64]

SIZES = (2**10, 2**16, 2**20)
WHOLE_BUDGET = 1e-9
"""A precision that is never reached."""
NOISE_THRESHOLD = 0.01
MOST_SAMPLES, FEWEST_SAMPLES = 100, 10
WARM_UP_SHARE = 0.1
RESAMPLES = 10_000
SLICES, SLICE_BUDGETS = 12, 5
"""The truth of `coverage` is so many slices, each of so many budgets."""
SECTIONS = {
    "aa": (200, 0.4),
    "detect": (100, 1.0),
    "spread": (30, 1.0),
    "coverage": (100, 1.0),
    "default": (1, 0.0),
}
"""Trials, and the budget of each in seconds."""


@dataclass(frozen=True)
class Answer:
    """What a harness says of two functions."""

    ratio: float
    """Time of the second over the first."""
    different: dict[str, bool]
    """By rule of judging the same measurements: whether it calls them different."""


def ours(a: Work, b: Work, budget: float, seed: int) -> Answer:
    """Different where the verdict is faster or slower, with the default margin of 1 %."""
    timings = time_paired({"a": a, "b": b}, time_limit=budget, precision=WHOLE_BUDGET, seed=seed)
    return Answer(timings.ratio(1).value, {"verdict": timings.verdict(1) in ("faster", "slower")})


def torch_compare(a: Work, b: Work, budget: float, _seed: int) -> Answer:
    """`blocked_autorange` of each, judged by the colours that Compare prints.

    With `colorize()` Compare paints every median of a column that is at most 1.01 times the least
    one, or at most 100 ns above it, as best: different where only one is painted so. Significant
    figures (`trim_significant_figures()`) change the digits printed and not the colour.
    """
    first, second = (
        Timer(
            "work()",
            globals={"work": work},
            sub_label=name,
            description="time",
            num_threads=torch.get_num_threads(),
        ).blocked_autorange(min_run_time=budget / 2)
        for name, work in (("a", a), ("b", b))
    )
    table = Compare([first, second])
    table.trim_significant_figures()
    table.colorize()
    return Answer(second.median / first.median, {"colour": str(table).count(BEST) < 2})


def pytest_benchmark(a: Work, b: Work, budget: float, _seed: int) -> Answer:
    """Its fixture, outside of pytest, with its defaults but `max_time`.

    It plans its rounds from one of the first calls, which are slow, and so stops early, for short
    functions often within a fifth of its time: it is run again for what is left, and the rounds are
    pooled.

    Judged by its own check of `--benchmark-compare-fail=median:5%`: different where the median of
    either is more than 5 % above the other's; and the same at 1 %, the margin of the others.
    """
    parse = import_module("pytest_benchmark.utils").parse_compare_fail
    first, second = (_pooled_rounds(work, budget / 2) for work in (a, b))
    checks = {rule: parse(rule) for rule in ("median:5%", "median:1%")}
    different = {
        rule: bool(check.fails(second, first) or check.fails(first, second))
        for rule, check in checks.items()
    }
    return Answer(second["median"] / first["median"], different)


def _pooled_rounds(work: Work, seconds: float) -> dict[str, float]:
    """The median that the check looks at, in seconds per call."""
    rounds: list[float] = []
    left = seconds
    while left > seconds / 20:
        stats = _fixture_stats(work, left)
        rounds += stats.stats.data
        left -= sum(stats.stats.data) * stats.iterations
    return {"median": float(np.median(rounds))}


def _fixture_stats(work: Work, seconds: float) -> Any:
    module = import_module("pytest_benchmark.fixture")
    logger = import_module("pytest_benchmark.logger").Logger
    fixture = module.BenchmarkFixture(
        SimpleNamespace(name="work", nodeid="work"),
        disable_gc=False,
        timer=SimpleNamespace(target=import_module("pytest_benchmark.timers").default_timer),
        min_rounds=5,
        min_time=0.000005,
        max_time=seconds,
        precision=None,
        confidence=0.99,
        warmup=False,
        warmup_iterations=100_000,
        calibration_precision=10,
        add_stats=lambda _: None,
        logger=logger(logger.QUIET),
        warner=None,
        disabled=False,
        cprofile=False,
        cprofile_loops=1,
        cprofile_dump=False,
    )
    fixture(work)
    return fixture.stats


def criterion(a: Work, b: Work, budget: float, seed: int) -> Answer:
    """As criterion.rs does: linear sampling of each, and the relative change of the mean.

    Judged by two rules. `interval off 0`: the 95 % bootstrap interval of the change excludes 0 and
    the change itself is above the noise threshold of 1 %. `its own`: the bootstrapped t-test has
    p < 0.05 and the whole interval lies beyond the noise threshold.

    Source: criterion.rs, analysis/compare.rs and report.rs; it resamples 100,000 times.
    """
    first, second = (_linear_samples(work, budget / 2) for work in (a, b))
    rng = np.random.default_rng(seed)
    change = second.mean() / first.mean() - 1
    changes = _resampled(second, rng).mean(axis=1) / _resampled(first, rng).mean(axis=1) - 1
    low, high = np.quantile(changes, [0.025, 0.975])
    beyond = low > NOISE_THRESHOLD or high < -NOISE_THRESHOLD
    different = {
        "interval off 0": bool((low > 0 or high < 0) and abs(change) > NOISE_THRESHOLD),
        "its own": bool(beyond and _t_test(first, second, rng) < 0.05),
    }
    return Answer(float(change + 1), different)


def _linear_samples(work: Work, seconds: float) -> Floats:
    """Seconds per call of samples of d, 2 d, 3 d ... calls, that take about `seconds` in all.

    criterion.rs rounds d up, which can take twice the time. Here it is rounded to the nearest, and
    where d would be below 1 there are fewer samples.
    """
    calls, spent, block = 0, 0.0, 1
    while spent < WARM_UP_SHARE * seconds:
        spent += cpu_timer(work, block)
        calls += block
        block *= 2
    affordable = seconds * calls / spent
    fitting = int((math.sqrt(8 * affordable + 1) - 1) / 2)
    samples = min(MOST_SAMPLES, max(FEWEST_SAMPLES, fitting))
    d = max(1, round(2 * affordable / (samples * (samples + 1))))
    return np.array([cpu_timer(work, i * d) / (i * d) for i in range(1, samples + 1)])


def _resampled(values: Floats, rng: np.random.Generator) -> Floats:
    """Shape (resample, value)."""
    return values[rng.integers(len(values), size=(RESAMPLES, len(values)))]


def _t_test(first: Floats, second: Floats, rng: np.random.Generator) -> float:
    """Two-sided p, with the distribution of t from resamples of both together."""

    def t(x: Floats, y: Floats) -> Floats:
        variance = x.var(axis=-1, ddof=1) / x.shape[-1] + y.var(axis=-1, ddof=1) / y.shape[-1]
        return np.asarray((x.mean(axis=-1) - y.mean(axis=-1)) / np.sqrt(variance))

    both = _resampled(np.concatenate((second, first)), rng)
    below = float(np.mean(t(both[:, : len(second)], both[:, len(second) :]) < t(second, first)))
    return 2 * min(below, 1 - below)


HARNESSES = {
    "actcompare": ours,
    "torch Compare": torch_compare,
    "pytest-benchmark": pytest_benchmark,
    "criterion-style": criterion,
}


@dataclass(frozen=True)
class Trial:
    """One answer of one harness."""

    case: int
    answer: Answer
    seconds: float


def run_trials(
    cases: list[tuple[Work, Work]], trials: int, budget: float
) -> dict[str, list[Trial]]:
    """Ask every harness in every trial, which cycle over the cases."""
    asked: dict[str, list[Trial]] = {name: [] for name in HARNESSES}
    order, shuffle = list(HARNESSES), random.Random(0).shuffle
    for trial in range(trials):
        progress(trial, trials)
        case = trial % len(cases)
        shuffle(order)
        for name in order:
            begin = time.perf_counter()
            answer = HARNESSES[name](*cases[case], budget, trial)
            asked[name].append(Trial(case, answer, time.perf_counter() - begin))
    return asked


def rules(asked: dict[str, list[Trial]]) -> Iterator[tuple[str, str, list[Trial], list[bool]]]:
    """Harness, rule, trials, and whether each was called different."""
    for name, trials in asked.items():
        for rule in trials[0].answer.different:
            yield name, rule, trials, [trial.answer.different[rule] for trial in trials]


def median_seconds(trials: list[Trial]) -> float:
    return float(np.median([trial.seconds for trial in trials]))


def relu_softplus(n: int) -> tuple[Work, Work]:
    """Both on the same tensor of n elements."""
    x = torch.randn(n, generator=torch.Generator().manual_seed(0))
    return (lambda: torch.relu(x)), (lambda: softplus(x))


def aa(trials: int, budget: float) -> dict[str, Any]:
    """The same function twice."""
    cases = [(work, work) for n in SIZES for work in relu_softplus(n)]
    asked = run_trials(cases, trials, budget)
    heads = [f"2^{n.bit_length() - 1}" for n in SIZES]
    print(f"called different, of {trials} times the same function twice, {budget} s each")
    print(row("harness", "rule", "all", *heads, "seconds"))
    result = {}
    for name, rule, done, different in rules(asked):
        shares = [share(different)]
        for size in range(len(SIZES)):
            of_size = [d for d, t in zip(different, done, strict=True) if t.case // 2 == size]
            shares.append(share(of_size))
        seconds = median_seconds(done)
        print(row(name, rule, *(f"{s:.1%}" for s in shares), f"{seconds:.2f}"))
        by_size = {h: s for h, s in zip(heads, shares[1:], strict=True) if not math.isnan(s)}
        result[f"{name}, {rule}"] = {"different": shares[0], **by_size, "seconds": seconds}
    return result


def detect(trials: int, budget: float) -> dict[str, Any]:
    """Softplus of 2^16 elements and of 5 % more; which comes first alternates."""
    less, more = relu_softplus(2**16)[1], relu_softplus(round(1.05 * 2**16))[1]
    asked = run_trials([(less, more), (more, less)], trials, budget)
    print(f"5 % more elements, {trials} trials of {budget} s")
    print(row("harness", "rule", "found", "wrong way", "ratio", "seconds"))
    result = {}
    for name, rule, done, different in rules(asked):
        ratios = [t.answer.ratio if t.case == 0 else 1 / t.answer.ratio for t in done]
        found = share([d and r > 1 for d, r in zip(different, ratios, strict=True)])
        wrong = share([d and r < 1 for d, r in zip(different, ratios, strict=True)])
        ratio, seconds = float(np.median(ratios)), median_seconds(done)
        print(row(name, rule, f"{found:.1%}", f"{wrong:.1%}", f"{ratio:.4f}", f"{seconds:.2f}"))
        result[f"{name}, {rule}"] = {
            "found": found,
            "wrong_way": wrong,
            "ratio": ratio,
            "seconds": seconds,
        }
    return result


def spread(trials: int, budget: float) -> dict[str, Any]:
    """How far the ratio of softplus to relu, 2^16 elements, scatters from run to run."""
    asked = run_trials([relu_softplus(2**16)], trials, budget)
    print(f"softplus / relu, {trials} runs of {budget} s")
    print(row("harness", "", "ratio", "p95 - p5", "of ours", "seconds"))
    result: dict[str, Any] = {}
    for name, done in asked.items():
        low, ratio, high = np.quantile([t.answer.ratio for t in done], [0.05, 0.5, 0.95])
        width, seconds = float((high - low) / ratio), median_seconds(done)
        result[name] = {"ratio": float(ratio), "spread": width, "seconds": seconds}
        times = width / result["actcompare"]["spread"]
        print(row(name, "", f"{ratio:.3f}", f"{width:.2%}", f"{times:.2f}", f"{seconds:.2f}"))
    against_torch = result["actcompare"]["spread"] / result["torch Compare"]["spread"]
    print(f"spread, actcompare / torch: {against_torch:.2f}")
    return {**result, "ours_to_torch": against_torch}


def coverage(trials: int, budget: float) -> dict[str, Any]:
    """How often a run's interval of softplus / relu holds the median of slices between the runs."""
    relu, soft = relu_softplus(2**16)

    def once(seconds: float, seed: int) -> Timings:
        work = {"relu": relu, "softplus": soft}
        return time_paired(work, time_limit=seconds, precision=WHOLE_BUDGET, seed=seed)

    slices = min(SLICES, trials)
    before = {i * trials // slices for i in range(slices)}
    runs: list[Estimate] = []
    truth: list[Floats] = []
    for trial in range(trials):
        progress(trial, trials)
        if trial in before:
            until = time.perf_counter() + SLICE_BUDGETS * budget
            while (left := until - time.perf_counter()) > budget / 10:  # noise may stop it early
                truth.append(log_ratios(once(left, trials + len(truth))))
        runs.append(once(budget, trial).ratio(1))
    true = ratio_interval(np.concatenate(truth))
    held = share([run.low <= true.value <= run.high for run in runs])
    width = float(np.median([(run.high - run.low) / run.value for run in runs]))
    print(f"softplus / relu, {trials} runs of {budget} s, {slices} slices between them")
    print(f"the slices' median {true.value:.4f} ({true.low:.4f} to {true.high:.4f})")
    print(f"held by {held:.1%} of the intervals, whose median width is {width:.2%} of the ratio")
    return {"covered": held, "width": width, "truth": [true.low, true.value, true.high]}


def log_ratios(timings: Timings) -> Floats:
    """Of the second candidate to the baseline, shape (round,), as `Timings.ratio` has them."""
    logs = np.log(timings.seconds)
    return np.asarray(logs[:, 1] - (logs[:, 0] + logs[:, -1]) / 2)


def default(trials: int, _budget: float) -> dict[str, Any]:
    """Seconds of the whole command."""
    times = []
    for _ in range(trials):
        begin = time.perf_counter()
        command = [sys.executable, "-m", "actcompare", "bench"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begin)
    print(f"actcompare bench: {np.median(times):.1f} s")
    return {"seconds": times}


def share(flags: list[bool]) -> float:
    return sum(flags) / len(flags) if flags else math.nan


def row(name: str, rule: str, *cells: str) -> str:
    return f"{name:17s} {rule:15s}" + "".join(f" {cell:>9s}" for cell in cells)


def progress(trial: int, trials: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if trial + 1 == trials else ""
        print(f"\rtrial {trial + 1} of {trials}", end=end, file=sys.stderr, flush=True)


def main() -> None:
    """Run the sections that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="+", choices=SECTIONS)
    parser.add_argument("--trials", type=int, help="of each section, in place of its own number")
    parser.add_argument("--budget", type=float, help="seconds of a harness in a trial, likewise")
    parser.add_argument("--threads", type=int, help="of torch, in place of its own number")
    parser.add_argument(
        "--busy", action="store_true", help="beside two busy processes per core: see load.py"
    )
    given = parser.parse_args()
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    run = {"aa": aa, "detect": detect, "spread": spread, "coverage": coverage, "default": default}
    company = import_module("load").company
    for section in given.sections:
        own_trials, own_budget = SECTIONS[section]
        trials, budget = given.trials or own_trials, given.budget or own_budget
        with company(given.busy), allocator("warm"), torch.no_grad():
            result = run[section](trials, budget)
        conditions = {"busy": given.busy, "threads": torch.get_num_threads()}
        about = {"section": section, "trials": trials, "budget": budget, **conditions}
        print(json.dumps({**about, **result}), flush=True)


if __name__ == "__main__":
    main()
