"""`depth`: quadrature against mpmath, nets against theory, nets that train, time and memory.

    python tests/benchmarks/depth.py quadrature agreement born training time

quadrature  E f^2 and E f'^2 of every catalogue entry at q of 0.01, 1, 10 and 100: largest error
agreement   gradients through 50 layers of width 256, every entry with three initialisations
born        nets of relu that are born dead, beside the closed form
training    depth 32, 6 paired seeds: test accuracy and whether it trains
time        the command as it comes; nets as a batch or one by one in torch; layers; samples

Each section prints a table and one line of JSON.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import torch
from torch import nn

from actcompare import parse, signal_depth
from actcompare.activations.catalogue import CATALOGUE, Entry
from actcompare.activations.exact import formula_in_mpmath
from actcompare.activations.gaussian import Curve, moments
from actcompare.propagation.initialisation import initialisation
from actcompare.propagation.measure import Size, measure
from actcompare.propagation.theory.dead import born_dead_share
from actcompare.stats import share_interval

LENGTHS = (0.01, 1.0, 10.0, 100.0)


def quadrature() -> dict[str, Any]:
    """Largest relative error of the moments, against mpmath at 30 digits."""
    errors: dict[str, float] = {}
    for entry in CATALOGUE:
        curve = Curve.of(parse(entry.spec))
        at = moments(curve, np.array(LENGTHS))
        for k, q in enumerate(LENGTHS):
            for text, found in ((entry.formula, at.f2[k]), (entry.derivative, at.d2[k])):
                exact = float(_mean_square(entry, text, q, curve.breaks))
                error = abs(found - exact) / exact if exact else abs(found)
                errors[entry.spec] = max(errors.get(entry.spec, 0.0), error)
        print(f"{entry.spec:24s} {errors[entry.spec]:.1e}", flush=True)
    return {"worst": max(errors.values()), "errors": errors}


def _mean_square(entry: Entry, text: str, q: float, breaks: tuple[float, ...]) -> Any:
    """Integrate the square of a formula by Gauss-Legendre of mpmath, between all breaks."""
    parameters = parse(entry.spec).parameters
    root = math.sqrt(q)
    ends = sorted({*np.arange(-14.0, 15.0), *(b / root for b in breaks), *_scales(root)})
    ends = [end for end in ends if -14 <= end <= 14]

    def integrand(z: Any) -> Any:
        value = formula_in_mpmath(text, parameters, float(z) * root, 160)
        return mpmath.mpf(value) ** 2 * mpmath.npdf(z)

    with mpmath.workdps(40):  # absolute precision: some moments are as small as 1e-24
        return mpmath.quad(integrand, ends, method="gauss-legendre", maxdegree=4)


def _scales(root: float) -> set[float]:
    return {sign * scale / root for scale in (0.5, 1, 2, 4, 8, 16, 32) for sign in (-1, 1)}


def agreement() -> dict[str, Any]:
    """Count the rows in which measured gradients agree with the corrected theory."""
    said = Counter[str]()
    for entry in CATALOGUE:
        found = signal_depth(entry.spec, layers=50, width=256, nets=16, time_limit=600)
        for row in found.rows:
            p = row.prospect
            answer = "none" if p.log10_gradient_theory is None else "beyond theory"
            answer = {0: "disagrees", 1: "agrees"}.get(p.agrees, answer)  # type: ignore[arg-type]
            said[answer] += 1
            numbers = (p.log10_gradient_corrected, p.log10_gradient_measured)
            shown = " ".join("n/a" if x is None else f"{x:.2f}" for x in numbers)
            print(f"{p.activation:24s} {p.init:10s} {answer:14s} {shown}", flush=True)
    return dict(said)


def born() -> dict[str, Any]:
    """Count nets that are born dead, beside the closed form for one sample."""
    relu, nets, result = Curve.of(parse("relu")), 20_000, {}
    for width, layers in ((2, 9), (3, 9), (5, 9)):
        how = initialisation("kaiming", relu, inputs=3, width=width, mean_square=1.0)
        one = torch.ones(1, 3, dtype=torch.float64)
        (signals,) = measure([(relu, how)], one, Size(width, layers, nets))
        share, exact = share_interval(signals.born_dead, nets), born_dead_share(width, layers)
        inside = share.low <= exact <= share.high
        print(f"({width}, {layers}) {share.value:.4f} ({share.low:.4f} to {share.high:.4f})", exact)
        result[f"{width}, {layers}"] = [share.value, exact, inside]
    return result


def training() -> dict[str, Any]:
    """Train nets of depth 32, as `depth --train` does."""
    found = signal_depth(theory_only=True, train=True)
    result = {}
    for row in found.training():
        interval = f"{row['mean']:.3f} ({row['mean_low']:.3f} to {row['mean_high']:.3f})"
        print(f"{row['activation']:10s} {row['init']:10s} {row['verdict']:14s} {interval}")
        result[f"{row['activation']}, {row['init']}"] = [row["verdict"], interval]
    return result


def timing() -> dict[str, Any]:
    """Time the command, a batch of nets against single ones, and more layers and samples."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "actcompare", "depth"], check=True, capture_output=True)
    result: dict[str, Any] = {"command_s": time.perf_counter() - begin}
    curve, X = Curve.of(parse("relu")), torch.randn(64, 64, dtype=torch.float64)
    for width in (32, 64, 256):
        how = initialisation("default", curve, inputs=64, width=width, mean_square=1.0)
        nets = 512 // width * 2
        ours, theirs = [], []
        for _ in range(5):
            ours.append(_seconds(lambda: measure([(curve, how)], X, Size(width, 50, nets))))  # noqa: B023
            theirs.append(_seconds(lambda: [_one_net(X, width, 50) for _ in range(nets)]))  # noqa: B023
        result[f"single_over_batch_{width}"] = float(np.median(theirs) / np.median(ours))
    how = initialisation("kaiming", curve, inputs=64, width=128, mean_square=1.0)
    shallow, deep = (
        min(_seconds(lambda: measure([(curve, how)], X, Size(128, n, 4))) for _ in range(5))  # noqa: B023
        for n in (50, 200)
    )
    result["time_of_4_times_the_layers"] = deep / shallow
    for name, value in result.items():
        print(f"{name:32s} {value:.2f}")
    return result


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _one_net(X: torch.Tensor, width: int, layers: int) -> list[torch.Tensor]:
    """Measure one net as one does by hand: nn.Linear, autograd, a gradient per layer."""
    modules: list[nn.Module] = [nn.Linear(X.shape[1], width, dtype=torch.float64)]
    for _ in range(layers):
        modules += [nn.ReLU(), nn.Linear(width, width, dtype=torch.float64)]
    a, kept = X, []
    for module in modules:
        a = module(a)
        if isinstance(module, nn.Linear):
            a.retain_grad()
            kept.append(a)
    (torch.randn_like(a) * a).sum().backward()  # type: ignore[no-untyped-call]
    return [z.grad.square().mean() for z in kept if z.grad is not None]


SECTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "quadrature": quadrature,
    "agreement": agreement,
    "born": born,
    "training": training,
    "time": timing,
}


def main() -> None:
    """Run the sections that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="+", choices=SECTIONS)
    for section in parser.parse_args().sections:
        print(json.dumps({"section": section, **SECTIONS[section]()}), flush=True)


if __name__ == "__main__":
    main()
