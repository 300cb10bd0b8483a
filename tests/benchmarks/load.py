"""The commands beside busy processes: how long they take, and what they then claim.

    python tests/benchmarks/load.py train bench aa [--runs N] [--only busy] [--one-core]

train  seconds of `train --act softplus`, and of `inspect` of an MLP and of a convolutional net
bench  `bench --size 65536 --pass both`: verdicts, and whether the ratio is that of a quiet machine
aa     the same with relu against itself: verdicts other than same and unclear are wrong

Every section runs each command quietly and with two busy processes per core, which belong to
another session; the machine should be idle otherwise. `--only quiet` and `--only busy` run one
half, and then nothing is compared. `--one-core` gives the commands an affinity of one core, as in a
small container. Each section prints a table and one line of JSON.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

PER_CORE = 2

RUNS = {"train": 5, "bench": 100, "aa": 100}

CLAIMS = ("faster", "slower", "same")

MODELS = """
from torch import nn

def mlp():
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))

def net():
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 900, 10))
"""

BUSY = """
import os
os.sched_setaffinity(0, range({cores}))
for _ in range({more}):
    if os.fork() == 0:
        break
while True:
    pass
"""


@contextlib.contextmanager
def company(wanted: bool = True) -> Iterator[None]:
    """Keep every core busy with PER_CORE processes of another session."""
    if not wanted:
        yield
        return
    cores = os.cpu_count() or 1
    code = BUSY.format(cores=cores, more=PER_CORE * cores - 1)
    leader = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        time.sleep(1)
        yield
    finally:
        os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()


def command(*arguments: str) -> tuple[float, str]:
    """Run actcompare; return the seconds it took, and what it printed."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "actcompare", *arguments, "--quiet"],
        check=True,
        capture_output=True,
        text=True,
    )
    return time.perf_counter() - begin, done.stdout


def train(runs: int, halves: list[str]) -> dict[str, Any]:
    """Seconds of the commands that compute with small nets."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models.py"
        models.write_text(MODELS, encoding="utf-8")
        commands = {
            "train --act softplus": ["train", "--act", "softplus"],
            "inspect, MLP": ["inspect", f"{models}:mlp", "--random", "64"],
            "inspect, convolutions": ["inspect", f"{models}:net", "--random", "3x32x32"],
        }
        for name, arguments in commands.items():
            taken: dict[str, float] = {}
            for half in halves:
                with company(half == "busy"):
                    taken[half] = median(command(*arguments)[0] for _ in range(runs))
            times = taken["busy"] / taken["quiet"] if len(taken) > 1 else None
            said = ", ".join(f"{half} {seconds:.2f} s" for half, seconds in taken.items())
            print(f"{name:24s} {said}" + (f", {times:.2f} times" if times else ""))
            result[name] = taken | {"times": times}
    return result


def measured(*acts: str, threads: int | None = None) -> dict[str, Any]:
    """Run `bench` on two activations, and return the row of the second, with the threads."""
    arguments = [word for act in acts for word in ("--act", act)]
    arguments += ["--threads", str(threads)] if threads else []
    _, text = command("bench", *arguments, "--size", "65536", "--pass", "both", "--format", "json")
    content = json.loads(text)
    row: dict[str, Any] = content["rows"][1]
    return row | {"threads": content["config"]["threads"]}


def bench(runs: int, halves: list[str]) -> dict[str, Any]:
    """Verdicts on softplus against relu, of which `slower` alone is true."""
    rows: dict[str, list[dict[str, Any]]] = {}
    threads = None
    for half in reversed(halves):  # quiet with the number of threads that was chosen beside others
        with company(half == "busy"):
            rows[half] = [measured("relu", "softplus", threads=threads) for _ in range(runs)]
        threads = Counter(row["threads"] for row in rows[half]).most_common(1)[0][0]
    result: dict[str, Any] = {"threads": threads}
    for half, found in rows.items():
        verdicts = Counter(row["verdict"] for row in found)
        false = verdicts["same"] + verdicts["faster"]
        ratios = sorted(row["ratio"] for row in found)
        ends = ratios[0], median(ratios), ratios[-1]
        print(f"{half:6s} {dict(verdicts)}, false {false}, ratios {ends[0]:.2f} to {ends[2]:.2f}")
        result[half] = {"verdicts": verdicts, "false": false, "ratios": ends}
    if len(rows) > 1:
        low, high = (
            median(row[end] for row in rows["quiet"]) for end in ("ratio_low", "ratio_high")
        )
        print(f"within {low:.2f} to {high:.2f} (the quiet interval), widened by noise:")
        result["quiet_interval"] = [low, high]
        for half, found in rows.items():  # quiet processes differ among themselves, too
            within = [
                low / (1 + row["noise_floor"]) <= row["ratio"] <= high * (1 + row["noise_floor"])
                for row in found
                if row["verdict"] in CLAIMS
            ]
            share = sum(within) / len(within) if within else None
            print(f"{half:6s} {share}")
            result[half]["within"] = share
    return result


def aa(runs: int, halves: list[str]) -> dict[str, Any]:
    """Verdicts on relu against itself, of which `slower` and `faster` are wrong."""
    result: dict[str, Any] = {}
    for half in halves:
        with company(half == "busy"):
            verdicts = Counter(measured("relu", "relu")["verdict"] for _ in range(runs))
        wrong = (verdicts["slower"] + verdicts["faster"]) / runs
        print(f"{half:6s} {dict(verdicts)}, wrong {wrong:.1%}")
        result[half] = {"verdicts": verdicts, "wrong": wrong}
    return result


def main() -> None:
    """Run the sections that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="+", choices=RUNS)
    parser.add_argument("--runs", type=int, help="of each half, in place of a section's own number")
    parser.add_argument("--only", choices=("quiet", "busy"))
    parser.add_argument("--one-core", action="store_true")
    given = parser.parse_args()
    halves = [given.only] if given.only else ["quiet", "busy"]
    if given.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for section in given.sections:
        runs = given.runs or RUNS[section]
        result = {"train": train, "bench": bench, "aa": aa}[section](runs, halves)
        about = {"section": section, "runs": runs, "one_core": given.one_core}
        print(json.dumps({**about, **result}), flush=True)


if __name__ == "__main__":
    main()
