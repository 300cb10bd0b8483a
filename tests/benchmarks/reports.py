"""How long the default report takes, part by part, and how large its page is.

python tests/benchmarks/reports.py [RUNS]
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main(runs: int) -> None:
    parts: dict[str, list[float]] = {}
    states: dict[str, set[str]] = {}
    whole, sizes = list[float](), list[int]()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            for ending in ("json", "html"):
                file = Path(folder, f"report.{ending}")
                start = time.perf_counter()
                command = [sys.executable, "-m", "actcompare", "report", "-q", "-o", str(file)]
                subprocess.run(command, check=True)
                whole.append(time.perf_counter() - start)
            sizes.append(file.stat().st_size)
            for part in json.loads(Path(folder, "report.json").read_text("utf-8"))["parts"]:
                parts.setdefault(part["title"], []).append(part["seconds"])
                states.setdefault(part["title"], set()).add(part["state"])
    for title, seconds in parts.items():
        took = f"{statistics.median(seconds):.1f} s (at most {max(seconds):.1f} s)"
        print(f"{title}: {took}, {' or '.join(sorted(states[title]))}")
    print(f"whole command: {statistics.median(whole):.1f} s (at most {max(whole):.1f} s)")
    print(f"page: {max(sizes) / 2**10:.0f} KiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
