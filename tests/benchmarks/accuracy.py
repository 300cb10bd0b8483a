"""Every 16-bit input for every catalogue entry, and the reported ULP errors against mpmath.

The witness is the catalogue's readable formula at 50 digits beyond what its cancellations cost,
which is not the arithmetic that actcompare itself uses for 16-bit types.

python tests/benchmarks/accuracy.py [POINTS]
"""

import math
import random
import sys
import time

import mpmath
import numpy as np
import torch

from actcompare import evaluate, parse
from actcompare.activations.catalogue import CATALOGUE, Entry
from actcompare.activations.exact import formula_in_mpmath

BITS = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def every_input(dtype: torch.dtype) -> torch.Tensor:
    """All 65,536 bit patterns."""
    return torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)


def ulp(exact: mpmath.mpf, dtype: torch.dtype) -> mpmath.mpf:
    """The spacing of the dtype at the exact value."""
    info = torch.finfo(dtype)
    lowest = int(np.log2(info.smallest_normal))
    exponent = max(int(mpmath.mag(exact)) - 1, lowest) if exact else lowest
    return mpmath.ldexp(mpmath.mpf(info.eps), min(exponent, int(np.log2(info.max))))


def worst_difference(entry: Entry, dtype: str, points: int) -> float:
    """The largest |reported - true| error in ULP (relative where above 1) over random inputs."""
    kind = BITS[dtype]
    finite = every_input(kind)
    finite = finite[finite.double().isfinite()]
    chosen = random.Random(0).sample(range(len(finite)), min(points, len(finite)))
    x = finite[chosen]
    activation = parse(entry.spec)
    (result,) = evaluate(x, [activation], error=True, dtype=dtype).results
    worst = 0.0
    for text, computed, accuracy in (
        (entry.formula, result.value, result.accuracy),
        (entry.derivative, result.grad, result.grad_accuracy),
    ):
        assert computed is not None
        assert accuracy is not None
        reported = accuracy.ulp_error.tolist()
        for point, got, error in zip(x.tolist(), computed.tolist(), reported, strict=True):
            if not np.isfinite(got):
                continue
            # 50 digits beyond what log(1 + exp(x)) cancels for x < 0, and x - tanh(x) near 0;
            # below exp(-250) everything is 0 to a 16-bit type
            cancelled = 4 * min(abs(point), 250) + 2 * max(0, -math.frexp(point)[1])
            exact = formula_in_mpmath(text, activation.parameters, point, 170 + int(cancelled))
            true = float(abs(mpmath.mpf(got) - exact) / ulp(exact, kind))
            worst = max(worst, abs(true - error) / max(true, 1))
    return worst


def main(points: int) -> None:
    """Time the whole of both types, then compare with mpmath."""
    begin = time.perf_counter()
    for dtype, kind in BITS.items():
        evaluate(every_input(kind), ["all"], error=True, dtype=dtype).columns()
    seconds = time.perf_counter() - begin
    print(f"all 65,536 inputs, {len(CATALOGUE)} entries, 2 types: {seconds:.1f} s (at most 60)")
    for dtype in BITS:
        each = {entry.spec: worst_difference(entry, dtype, points) for entry in CATALOGUE}
        name = max(each, key=lambda spec: each[spec])
        print(f"{dtype}: {points} points, worst ULP difference {each[name]:.2g} ({name})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
