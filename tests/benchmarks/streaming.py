"""Millions of float32 from .npy to CSV, against a plain pandas script: time and peak memory.

python tests/benchmarks/streaming.py [MILLIONS]
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ACTCOMPARE = str(Path(sys.executable).with_name("actcompare"))
PANDAS = """
import sys, numpy as np, pandas as pd, torch
x = torch.from_numpy(np.load(sys.argv[1])).requires_grad_()
frames = []
for name, function in (("relu", torch.nn.ReLU()), ("softplus", torch.nn.Softplus())):
    y = function(x)
    (grad,) = torch.autograd.grad(y.sum(), x)
    frames.append(pd.DataFrame({"x": x.detach().numpy(), "activation": name,
                                "value": y.detach().numpy(), "grad": grad.numpy()}))
pd.concat(frames).sort_index(kind="stable").to_csv(sys.argv[2], index=False)
"""


def run(command: list[str]) -> tuple[float, float]:
    """Seconds and peak resident MiB of a command."""
    begin = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} failed")
    return seconds, usage.ru_maxrss / 1024


def main(millions: int) -> None:
    """Time both on `millions` points, and ours on a tenth for the memory's growth."""
    with tempfile.TemporaryDirectory() as folder:
        few, many, out = (f"{folder}/{name}" for name in ("few.npy", "many.npy", "out.csv"))
        x = np.random.default_rng(0).normal(size=millions * 1_000_000).astype(np.float32)
        np.save(many, x)
        np.save(few, x[: len(x) // 10])
        ours = [ACTCOMPARE, "eval", "--quiet", "--file"]
        _, small = run([*ours, few, "--output", out])
        seconds, peak = run([*ours, many, "--output", out])
        pandas_seconds, pandas_peak = run([sys.executable, "-c", PANDAS, many, out])
        again, _ = run([*ours, many, "--output", out])
    ours_seconds = (seconds + again) / 2
    print(f"actcompare {seconds:.1f} s and {again:.1f} s, peak {peak:.0f} MiB")
    print(f"pandas     {pandas_seconds:.1f} s, peak {pandas_peak:.0f} MiB")
    print(f"time / pandas: {ours_seconds / pandas_seconds:.2f} (at most 1)")
    print(f"peak memory at {millions} M / at a tenth: {peak / small:.2f} (at most 1.2)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
