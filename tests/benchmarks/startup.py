"""How much the command line adds to the imports it cannot avoid: ratios of interleaved runs.

python tests/benchmarks/startup.py [ROUNDS]
"""

import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

PYTHON = sys.executable
ACTCOMPARE = str(Path(PYTHON).with_name("actcompare"))
COMMANDS = {
    "import typer, rich": [PYTHON, "-c", "import typer, rich"],
    "actcompare --help": [ACTCOMPARE, "--help"],
    "import torch": [PYTHON, "-c", "import torch"],
    "actcompare eval -- -2 0 5": [ACTCOMPARE, "eval", "--", "-2", "0", "5"],
}
RATIOS = [
    ("actcompare --help", "import typer, rich", 3.0),
    ("actcompare eval -- -2 0 5", "import torch", 1.25),
]


def main(rounds: int) -> None:
    """Run every command once a round, in random order; print the median ratios."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    order, shuffle = list(COMMANDS), random.Random(0).shuffle
    for command in COMMANDS.values():  # once for the disk's cache
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            begin = time.perf_counter()
            subprocess.run(COMMANDS[name], check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - begin)
    for name, times in seconds.items():
        print(f"{name:28s} median {statistics.median(times):.3f} s over {rounds} runs")
    for ours, base, allowed in RATIOS:
        pairs = zip(seconds[ours], seconds[base], strict=True)
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"{ours} / {base}: {ratio:.2f} (at most {allowed})")
    loaded = subprocess.run(
        [PYTHON, "-X", "importtime", "-m", "actcompare", "--help"],
        check=True,
        capture_output=True,
        text=True,
    ).stderr
    names = {line.rpartition("|")[2].strip() for line in loaded.splitlines()}
    print("--help imports torch or pandas:", bool(names & {"torch", "pandas"}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
