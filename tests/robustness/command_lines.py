"""Run random command lines, and report what no command line may bring about.

    python tests/robustness/command_lines.py --count 10000 --seed 0

The lines are made from the application's own commands and options, with values that are good, odd
or hostile. Each runs in a process of its own. A finding is an exit code that the manual does not
have, a traceback, a defect ("this is a bug"), a failure that is not one line, a library's warning,
a control character, or a line that neither ends in time nor heeds an interrupt.
"""

import argparse
import contextlib
import importlib
import os
import pkgutil
import random
import re
import resource
import shlex
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import typer

import actcompare
from actcompare.cli.app import app

LIMIT_S, PATIENCE_S = 20.0, 10.0
"""Seconds after which a line is interrupted, and which it then has to end."""

MEMORY = 16 * 2**30
"""Bytes of address space of a process, so that no line takes the machine's memory."""

CODES = {0, 1, 2, 3, 130}

MODELS = """
import torch
from torch import nn
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
NONE, CONST, TEXT = None, 5, "x"
def build(): return nn.Sequential(nn.Linear(2, 3), nn.Softplus())
def own(x): return x * torch.sigmoid(x)
def fails(x): raise ValueError("no")
def leaves(x): raise SystemExit(7)
def number(x): return 3
def batches(): return [torch.zeros(5, 4)]
"""

FILES = {
    "m.py": MODELS,
    "a,b.py": MODELS,
    "x.csv": "x,y\n1,0\n2,1\n3,0\n4,1\n5,0\n6,1\n7,0\n8,1\n9,1\n10,0\n11,1\n12,0\n",
    "wide.csv": "a,b,c,d,y\n" + "1,2,3,4,0\n2,3,1,0,1\n" * 20,
    "empty.csv": "",
    "odd\x1b[31m.csv": "a\x1b]0;b\x07,y\n1,2\n",
    "bytes.npy": "\x93NUMPY nothing",
    "s.db": "not a database",
    "b.json": "{}",
}

COUNTS = ("0", "1", "2", "3", "-1", "4", "7")
NUMBERS = (
    *("nan", "inf", "-inf", "1e400", "9" * 400, "-0", "0x10", "1_000", "1__0", "\u0661\u0662", ""),
    *(" 3 ", "1e3", "2^3", "-2^0.5", "2^99999", "1e-3", "0.5", "1.5", "+2", "--5", "9" * 5000),
    *(str(2**31), str(2**63), str(-(2**63)), "1e18", "NaN", "1,5", "1e", "^", "1^", "1e99999999"),
)
TEXTS = (
    *("", " ", "-", "--", "x", "\x1b[31mred", "\u202eabc", "\udc80", "a\nb", "%s", "{0}", "[bold]"),
    *("x" * 20_000, "=", ":", ",", "a=b=c", "None", "True", "'", '"', "$(x)", "../..", "/", "\t"),
)
PATHS = (
    *FILES,
    *("new.csv", "new.json", "new.md", "new.svg", "new.png", "r.xlsx", "no/where.csv", ".", "/"),
    *("/dev/null", "x" * 300 + ".csv", "x.csv/x", "nothing.npz", "nothing.pt", "", "-", "dir"),
)
OWN = ("m.py:own", "m:own", "m.py:NONE", "m.py:CONST", "m.py:fails", "m.py:leaves", "m.py:number",
       "m.py:gone", "gone.py:f", "m.py:", ":f", "a,b.py:own", "os:getcwd", "m.py:net")  # fmt: skip
SPECS = (
    *("relu", "softplus", "relu,softplus", "softplus:beta=2,threshold=30", "nn.ReLU()", "F.gelu"),
    *("softplus(beta=2)", "all", "softplus:beta=0", "softplus:beta=1e400", "prelu", "LeakyReLU(2)"),
    *("softplus:2", "relu:a=1", "hardtanh:min_val=5", "relu=softplus", "relu=m.py:own"),
    *("elu:alpha=1e300", "threshold(1,2)", "rrelu", "(((", "gelu:approximate=tanh", *OWN),
)
CONDITIONS = (
    *("slower>3%", "verdict==worse", "verdict!=same", "ratio>1e400", "zero_dead_share>10%", "a>b"),
    *("difference_high<0", "median_s>0", "verdict==nothing", "test_metric<0.5", ">", "ratio>nan"),
)

BY_METAVAR: dict[str, Sequence[str]] = {
    "SPEC": SPECS,
    "OLD=NEW": SPECS,
    "TARGET": ("m.py:net", "m.py:build", *OWN),
    "CONDITION": CONDITIONS,
    "SHAPE": ("4", "2x4", "4x", "x", "0", "-1", "4x99999999999", "1x1x1x1x1", "4" * 400),
    "cpu|cuda|cuda:N|mps": (
        "cpu",
        "cpu",
        "cuda",
        "cuda:1",
        "mps",
        "cuda:" + "9" * 20,
        "cuda:\u00b2",
    ),
    "SOURCE": ("digits", "random", "x.csv", "wide.csv", "sklearn:iris", "sklearn:x", *PATHS),
    "FILE|module:attr": ("m.py:batches", "wide.csv", *OWN, *PATHS),
    "HOST:PORT|auto": ("x", "", "127.0.0.1:1", "127.0.0.1:x"),
    "[X]...": ("-2", "0", "5", "-inf", "nan", "-", *COUNTS, *NUMBERS),
    "NAME|SIGMA_W2,SIGMA_B2": (
        *("default", "kaiming", "critical", "xavier", "2,0", "1e6,1e6", "1e-300,0", "nan,0", "2"),
        *("1,2,3", "-1,0", ",", "he"),
    ),
    "COLUMN": ("y", "a", "z"),
    "NAME": ("y", "a", "z"),
}
"""Values by the name that the help gives them; others go by their type."""

CHEAP: dict[str, list[str]] = {
    "bench": ["--size", "64", "--time-limit", "0.01", "--pass", "forward"],
    "train": ["--epochs", "1"],
    "study": ["--epochs", "1", "--seeds", "2"],
    "inspect": ["m.py:net", "--random", "4"],
    "depth": ["--layers", "3", "--width", "8", "--nets", "2"],
}
"""What makes a command quick; later options overrule."""

NOT_RUN = {"--help", "--install-completion", "--show-completion", "--engine"}
"""Options that end the command, change the user's shell, or start a cluster."""


def a_value(param: Any, chance: random.Random) -> str:
    """Return a value for a parameter: most fit its type."""
    if chance.random() < 0.04:
        return chance.choice(TEXTS)
    descriptor, metavar = param.type_descriptor, param.metavar
    if descriptor.choices:
        return str(chance.choice([*descriptor.choices, "half", "torch.float32"]))
    if metavar in BY_METAVAR:
        return chance.choice(BY_METAVAR[metavar])
    if "int" in str(descriptor.annotation) or "float" in str(descriptor.annotation):
        return chance.choice(COUNTS if chance.random() < 0.85 else NUMBERS)
    return chance.choice(PATHS)


def a_line(chance: random.Random) -> list[str]:
    """Return a random command line."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    name = chance.choice([*commands])
    line = [name, *(CHEAP.get(name, []) if chance.random() < 0.95 else [])]
    params = [param for param in commands[name].params if not NOT_RUN & {*param.opts}]
    for param in chance.choices(params, k=min(len(params), chance.randint(0, 5))):
        option = [] if param.param_type_name == "argument" else [chance.choice(param.opts)]
        count = 0 if getattr(param, "is_flag", False) else max(1, param.nargs)
        line += [*option, *(a_value(param, chance) for _ in range(count))]
    if chance.random() < 0.1:
        line.insert(chance.randint(0, len(line)), chance.choice([*TEXTS, *SPECS, *NUMBERS]))
    return line


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    code: int
    stdout: str
    stderr: str
    long: bool
    """Whether it was interrupted for taking too long."""

    def findings(self) -> list[str]:
        """Return what should not have happened."""
        lines = self.stderr.splitlines()
        shown = "" if self.stdout.startswith("PAR1") else self.stdout
        found = {
            f"exit code {self.code}": self.code not in CODES,
            "a defect": "this is a bug" in self.stderr,
            "a traceback": "actcompare/" in self.stderr and "Traceback" in self.stderr,
            "a warning": bool(re.search(r"\w+Warning: ", self.stderr)),
            "a control character": not (shown + self.stderr).replace("\n", "").isprintable(),
            "wrong usage in several lines": self.code == 2 and len(lines) != 1,
            "a failure without a line": self.code == 1 and not lines,
            "a line without end": max(map(len, lines), default=0) > 10_000,
        }
        return [what for what, is_so in found.items() if is_so]


def run(line: Sequence[str], folder: Path) -> Ended:
    """Run a command line in a process of its own, within a folder of files for it."""
    for name, content in FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "dir").mkdir(exist_ok=True)
    out, err = folder / ".stdout", folder / ".stderr"
    child = os.fork()
    if child == 0:
        _be_the_command(line, folder, out, err)
    start, long, code = time.monotonic(), False, None
    while code is None:
        ended, status = os.waitpid(child, os.WNOHANG)
        taken = time.monotonic() - start
        if ended:
            code = os.waitstatus_to_exitcode(status)
        elif taken > LIMIT_S and not long:
            long = True
            os.kill(child, signal.SIGINT)
        elif taken > LIMIT_S + PATIENCE_S:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    stdout, stderr = (path.read_text("utf-8", errors="replace") for path in (out, err))
    return Ended(code, stdout, stderr, long)


def _be_the_command(line: Sequence[str], folder: Path, out: Path, err: Path) -> None:
    """Run a command line in this process, and end it."""
    code = 99
    try:
        os.chdir(folder)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has none
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(number, mode, errors="backslashreplace" if number else "strict")
            for number, mode in ((0, "r"), (1, "w"), (2, "w"))
        )
        sys.path.insert(0, "")
        code = app([*line], prog_name="actcompare", standalone_mode=False)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"Traceback: actcompare/ let through {error!r}\n".encode())
    finally:
        os._exit(code)


def fuzz(
    count: int, seed: int, tell: Callable[[str], None] = lambda _: None
) -> tuple[Counter[str], list[str]]:
    """Run `count` random command lines, and tell of each finding, and now and then how far it is.

    Returns:
        How many ended with each exit code, and the findings with their lines.
    """
    for module in pkgutil.walk_packages(actcompare.__path__, "actcompare."):
        importlib.import_module(module.name)  # once, and not in every process
    torch.set_num_threads(1)
    codes, findings = Counter[str](), []
    for i in range(count):
        line = a_line(random.Random(f"{seed} {i}"))
        with tempfile.TemporaryDirectory() as folder:
            ended = run(line, Path(folder))
        codes[f"{ended.code}{' (interrupted)' * ended.long}"] += 1
        for what in ended.findings():
            last = ended.stderr.strip().splitlines()[-1:]
            findings.append(f"{i}: {what}: {shlex.join(line)[:600]!r}: {str(last)[:400]}")
            tell(findings[-1])
        if (i + 1) % 100 == 0:
            tell(f"{i + 1:,} of {count:,}: {dict(sorted(codes.items()))}")
    return codes, findings


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    codes, findings = fuzz(args.count, args.seed, lambda said: print(said, flush=True))
    print(
        f"{args.count} command lines, seed {args.seed}; exit codes: {dict(sorted(codes.items()))}"
    )
    print(f"{len(findings)} findings")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
