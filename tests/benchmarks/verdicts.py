"""Verdicts of studies: false claims and power on real differences, beside other methods.

    python tests/benchmarks/verdicts.py [claims] [centred] [halves] [power] [samples] [--trials N]

Pools of runs are trained once with `study` and kept in the folder for temporary files. A study of n
seeds draws n seeds of a pool. There is no difference where one activation is compared with itself
on other seeds (halves), where the mean over the pool is taken off the differences (centred), and
where the labels of the activations are dealt out anew within each seed (claims). The last makes
differences of +-60 points of a pool in which one activation collapses and another does not: no such
study exists, and at 3 seeds a quarter of them have equal signs.
"""

import argparse
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
import scipy.stats
from sklearn.datasets import load_breast_cancer

from actcompare import study
from actcompare.stats import (
    LEVEL,
    difference_verdict,
    holm,
    interquartile_mean,
    t_interval,
    t_p_value,
)
from actcompare.studies.comparison import Comparison, answer, by_learning_rate
from actcompare.studies.records import CellResult, StudyConfig
from actcompare.studies.study import Study

ACTS = ("relu", "softplus", "gelu", "tanh", "silu")

POOLS: dict[str, dict[str, Any]] = {
    "digits": {"data": "digits", "lr": 0.1, "epochs": 5, "hidden": 16},
    "breast_cancer": {"data": "sklearn:breast_cancer", "lr": 0.1, "epochs": 5, "hidden": 16},
    "wine": {"data": "sklearn:wine", "lr": 0.1, "epochs": 10, "hidden": 16},
    "diabetes (R^2)": {"data": "sklearn:diabetes", "lr": 0.05, "epochs": 10, "hidden": 16},
    "digits, collapsing": {"data": "digits", "lr": 0.3, "epochs": 5, "hidden": 16, "depth": 2},
    "diabetes, diverging": {"data": "sklearn:diabetes", "lr": 0.2, "epochs": 5, "hidden": 16},
}

SEEDS = (3, 5, 6, 10, 20)

Differences = list[tuple[np.ndarray, np.ndarray]]
"""Of each comparison the metrics of the activation and of the baseline, shape (seed,)."""


def pool(name: str, seeds: int = 400) -> Study:
    """Train the runs of a pool, or read them."""
    file = name.replace(", ", "_").replace(" ", "_").replace("^", "")
    path = Path(tempfile.gettempdir()) / f"verdicts_{file}.db"
    return study(ACTS, seeds=seeds, store=path, **POOLS[name])


def by_seed(made: Study) -> dict[int, dict[str, CellResult]]:
    found: dict[int, dict[str, CellResult]] = {}
    for result in made.results:
        found.setdefault(result.cell.seed, {})[result.cell.activation] = result
    return found


def named(result: CellResult, activation: str, seed: int) -> CellResult:
    return replace(result, cell=replace(result.cell, activation=activation, seed=seed))


# --- the other methods -----------------------------------------------------------------------


def by_wilcoxon(pairs: Differences, rng: np.random.Generator) -> list[bool]:  # noqa: ARG001
    """The exact test, or with ties or zeros its normal approximation, as scipy had it for long."""
    p = []
    for a, b in pairs:
        sizes = np.abs(a - b)
        ties = len(np.unique(sizes)) < len(sizes) or not sizes.all()
        how = "asymptotic" if ties else "exact"
        p.append(scipy.stats.wilcoxon(a - b, method=how).pvalue if sizes.any() else 1.0)
    return [each <= LEVEL for each in holm(p)]


def by_welch(pairs: Differences, rng: np.random.Generator) -> list[bool]:  # noqa: ARG001
    """Like scipy's `ttest_ind(equal_var=False)`, without its slow checks."""
    p = []
    for a, b in pairs:
        va, vb = (x.var(ddof=1) / len(x) for x in (a, b))
        df = (va + vb) ** 2 / (va * va + vb * vb) * (len(a) - 1) if va + vb else 1.0
        t = (a.mean() - b.mean()) / np.sqrt(va + vb) if va + vb else 0.0
        p.append(float(2 * scipy.special.stdtr(df, -abs(t))))
    return [each <= LEVEL for each in holm(p)]


def by_bootstrap(pairs: Differences, rng: np.random.Generator) -> list[bool]:
    """Percentile intervals of the difference of IQMs, each activation's seeds resampled."""
    found = []
    for a, b in pairs:
        n, cut = len(a), len(a) // 4
        drawn = [
            np.sort(x[rng.integers(0, n, (1000, n))])[:, cut : n - cut].mean(1) for x in (a, b)
        ]
        low, high = np.percentile(drawn[0] - drawn[1], (2.5, 97.5))
        found.append(low > 0 or high < 0)
    return found


def by_t_alone(pairs: Differences, rng: np.random.Generator) -> list[bool]:  # noqa: ARG001
    """The paired t test over seeds, without the test samples."""
    p = []
    for a, b in pairs:
        mean, error = (a - b).mean(), (a - b).std(ddof=1) / np.sqrt(len(a))
        p.append(t_p_value(mean / error, len(a) - 1) if error else float(mean == 0))
    return [each <= LEVEL for each in holm(p)]


OTHERS: dict[str, Callable[[Differences, np.random.Generator], list[bool]]] = {
    "paired t over seeds": by_t_alone,
    "Wilcoxon": by_wilcoxon,
    "Welch": by_welch,
    "bootstrap of IQMs": by_bootstrap,
}


def claims_of(
    config: StudyConfig, runs: Sequence[CellResult], acts: Sequence[str], rng: np.random.Generator
) -> dict[str, bool]:
    """Return which methods claim any difference between the baseline and another activation."""
    config = replace(config, activations=tuple(acts))
    rows = answer(config, runs)[1:]
    said = {"ours": any(row["difference_low"] > 0 or row["difference_high"] < 0 for row in rows)}
    metrics = {
        act: np.array([run.test.metric for run in runs if run.cell.activation == act])
        for act in acts
    }
    pairs = [(metrics[act], metrics[acts[0]]) for act in acts[1:]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return said | {name: any(method(pairs, rng)) for name, method in OTHERS.items()}


def table(title: str, found: dict[tuple[Any, ...], dict[str, float]]) -> None:
    print(title)
    for key, shares in found.items():
        cells = ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares.items())
        print(f"  {', '.join(map(str, key))}: {cells}", flush=True)


def shares_of(trials: Sequence[dict[str, bool]]) -> dict[str, float]:
    return {name: float(np.mean([trial[name] for trial in trials])) for name in trials[0]}


# --- without a difference --------------------------------------------------------------------


def claims(asked: argparse.Namespace) -> list[Any]:
    """Labels dealt out anew within each seed, so that the activations are interchangeable."""
    found: dict[tuple[Any, ...], dict[str, float]] = {}
    rng = np.random.default_rng(asked.seed)
    for name in asked.pools:
        made = pool(name)
        runs = by_seed(made)
        for n in SEEDS:
            for comparisons in (1, 2, 4):
                acts, trials = ACTS[: comparisons + 1], []
                for _ in range(asked.trials):
                    drawn = [
                        named(runs[int(seed)][str(old)], act, int(seed))
                        for seed in sorted(rng.choice(len(runs), n, replace=False))
                        for act, old in zip(acts, rng.permutation(acts), strict=True)
                    ]
                    trials.append(claims_of(made.config, drawn, acts, rng))
                found[name, f"{n} seeds", f"{comparisons} comparisons"] = shares_of(trials)
        table(
            f"{name}: studies with a false claim", {k: v for k, v in found.items() if k[0] == name}
        )
    return _as_json(found)


def centred(asked: argparse.Namespace) -> list[Any]:
    """Real differences less their mean over the whole pool, so that their shape is kept.

    A claim is false if an interval excludes that mean. For IQMs it is the difference of the pool's.
    Where runs diverge, one of them is the whole mean, so that there is nothing to centre on.
    """
    found: dict[tuple[Any, ...], dict[str, float]] = {}
    rng = np.random.default_rng(asked.seed)
    for name in [each for each in asked.pools if "diverging" not in each]:
        made = pool(name)
        by_act = {runs.activation: runs for runs in by_learning_rate(made.config, made.results)}
        base = by_act[ACTS[0]]
        shift = {act: float((runs.test - base.test).mean()) for act, runs in by_act.items()}
        iqm = {act: interquartile_mean(runs.test) for act, runs in by_act.items()}
        for n in SEEDS:
            for comparisons in (1, 2, 4):
                trials = []
                for _ in range(asked.trials):
                    acts = rng.permutation(ACTS[1:])[:comparisons].tolist()
                    seeds = sorted(map(int, rng.choice(len(base.by_seed), n, replace=False)))
                    few = {
                        act: replace(runs, by_seed={k: runs.by_seed[k] for k in seeds})
                        for act, runs in by_act.items()
                    }
                    p = []
                    for act in acts:
                        mean = Comparison.of(made.config, few[act], few[ACTS[0]]).mean
                        assert mean is not None
                        p.append(replace(mean, value=mean.value - shift[act]).p_value)
                    said = {"ours": min(holm(p)) <= LEVEL}
                    b = few[ACTS[0]].test
                    pairs = [(few[act].test - shift[act], b) for act in acts]
                    for other, method in OTHERS.items():
                        if method is by_bootstrap:
                            pairs = [(few[a].test - iqm[a] + iqm[ACTS[0]], b) for a in acts]
                        said[other] = any(method(pairs, rng))
                    trials.append(said)
                found[name, f"{n} seeds", f"{comparisons} comparisons"] = shares_of(trials)
    table("centred differences: studies with a false claim", found)
    return _as_json(found)


def halves(asked: argparse.Namespace) -> list[Any]:
    """An activation against itself on other seeds; test samples cannot be paired."""
    found: dict[tuple[Any, ...], dict[str, float]] = {}
    rng = np.random.default_rng(asked.seed)
    for name in asked.pools:
        made = pool(name)
        runs = by_seed(made)
        for n in SEEDS:
            trials = []
            for _ in range(asked.trials):
                act = str(rng.choice(ACTS))
                drawn = [
                    replace(named(runs[int(seed)][act], label, k % n), outcomes=None)
                    for k, seed in enumerate(rng.choice(len(runs), 2 * n, replace=False))
                    for label in [ACTS[k // n]]
                ]
                trials.append(claims_of(made.config, drawn, ACTS[:2], rng))
            found[name, f"{n} seeds"] = shares_of(trials)
    table("against itself on other seeds, 1 comparison: studies with a false claim", found)
    return _as_json(found)


# --- with a difference -----------------------------------------------------------------------


def power(asked: argparse.Namespace) -> list[Any]:
    """The real differences between relu and each other activation."""
    found: dict[tuple[Any, ...], dict[str, float]] = {}
    rng = np.random.default_rng(asked.seed)
    for name in asked.pools:
        made = pool(name)
        runs = by_seed(made)
        for act in ACTS[1:]:
            d = np.array([r[act].test.metric - r["relu"].test.metric for r in runs.values()])
            effect = f"{act}: {d.mean():+.4f}, spread {d.std():.4f}"
            for n in SEEDS:
                trials = []
                for _ in range(asked.trials // 4):
                    drawn = [
                        runs[int(seed)][each]
                        for seed in sorted(rng.choice(len(runs), n, replace=False))
                        for each in ("relu", act)
                    ]
                    trials.append(claims_of(made.config, drawn, ("relu", act), rng))
                found[name, effect, f"{n} seeds"] = shares_of(trials)
    table("true differences: studies that claim one", found)
    return _as_json(found)


# --- few test samples ------------------------------------------------------------------------


def data_sets(rows: int, count: int, rng: np.random.Generator) -> Iterator[Any]:
    """Yield data sets drawn from a population, here one of 569 samples."""
    X, y = load_breast_cancer(return_X_y=True)
    for _ in range(count):
        which = rng.choice(len(X), rows, replace=False)
        yield X[which], y[which].astype(str)


def samples(asked: argparse.Namespace) -> list[Any]:
    """26 test samples of 130, and 52 of 260: on new data each time.

    The true difference is the mean over all data sets. The margin is three quarters of it, so that
    `same` is false.
    """
    found: dict[tuple[Any, ...], dict[str, float]] = {}
    rng = np.random.default_rng(asked.seed)
    for rows in (130, 260):
        for act in ("tanh", "softplus"):
            made = [
                study(["relu", act], data, seeds=20, lr=0.05, epochs=4, hidden=8, workers=1)
                for data in data_sets(rows, asked.trials // 10, rng)
            ]
            truth = float(np.mean([each.rows()[1]["difference"] for each in made]))
            margin = 0.75 * abs(truth)
            for n in SEEDS:
                trials = [_few(each, n, truth, margin) for each in made]
                key = f"{rows // 5} test samples", f"{act} {truth:+.4f}", f"{n} seeds"
                found[key] = shares_of(trials)
    table("few test samples", found)
    return _as_json(found)


def _few(made: Study, n: int, truth: float, margin: float) -> dict[str, bool]:
    """Return false `same` and misses of the truth, ours and of the t interval over seeds."""
    runs = [run for run in made.results if run.cell.seed < n]
    row = answer(replace(made.config, margin=margin), runs)[1]
    d = [b.test.metric - a.test.metric for a, b in zip(runs[:n], runs[n:], strict=True)]
    alone = t_interval(d)
    return {
        "ours same": row["verdict"] == "same",
        "seeds alone same": difference_verdict(alone, margin) == "same",
        "ours misses": not row["difference_low"] <= truth <= row["difference_high"],
        "seeds alone miss": not alone.low <= truth <= alone.high,
    }


def _as_json(found: dict[tuple[Any, ...], dict[str, float]]) -> list[Any]:
    return [[*key, shares] for key, shares in found.items()]


SECTIONS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "claims": claims,
    "centred": centred,
    "halves": halves,
    "power": power,
    "samples": samples,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sections", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--pools", nargs="*", choices=list(POOLS), default=list(POOLS))
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for name in asked.sections:
        print(json.dumps({"section": name, "result": SECTIONS[name](asked)}))


if __name__ == "__main__":
    main()
