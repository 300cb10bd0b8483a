"""How the parts of a report share its budget.

Each part gets the least that it needs, and a share by weight of what the parts still to come leave;
where not all fit, the last ones make room. A part hands on what it does not use: a study whose runs
are in the store already leaves its time to others. The order is that of importance, so that a small
budget, or an interrupt, costs the least.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from actcompare.activations.user_code import describe
from actcompare.errors import ActcompareError, Terminated
from actcompare.machine.environment import Environment
from actcompare.machine.memory import is_shortage
from actcompare.reporting.evidence import (
    DONE,
    FAILED,
    INTERRUPTED,
    NOT_RUN,
    RUNNING,
    Evidence,
    Part,
)
from actcompare.reporting.parts.job import Job, NoTimeError
from actcompare.reporting.parts.kinds import KINDS, Kind

PAGE_S = 5.0
"""Seconds kept back to draw and write the page; at most PAGE_SHARE of the budget."""

PAGE_SHARE = 0.2


def gather(
    job: Job,
    environment: Environment,
    listen: Callable[[Sequence[Part], float], None] | None = None,
) -> tuple[Evidence, BaseException | None]:
    """Run the parts within the budget.

    Args:
        job: What to report on.
        environment: The machine.
        listen: Called with the parts, and the seconds left, whenever a part begins or ends.

    Returns:
        The evidence, and the interrupt that cut it short, if any.

    Raises:
        ActcompareError: The activations cannot be evaluated at all.
    """
    config = job.config
    parts = tuple(
        Part(kind.name, kind.title, shlex.join(["actcompare", *kind.command(job)]))
        for kind in KINDS
    )
    evidence, stopped = Evidence(config, environment, parts, job.dataset.why), None
    end = job.clock() + config.budget - min(PAGE_S, PAGE_SHARE * config.budget)

    def settle(name: str, **changes: Any) -> None:
        nonlocal evidence
        parts = tuple(
            replace(part, **changes) if part.name == name else part for part in evidence.parts
        )
        evidence = replace(evidence, parts=parts)
        if listen is not None:
            listen(evidence.parts, end - job.clock())

    for i, kind in enumerate(KINDS):
        if stopped is not None:
            settle(kind.name, state=NOT_RUN, why="interrupted before")
            continue
        left, begin = end - job.clock(), job.clock()
        settle(kind.name, state=RUNNING)
        try:
            result = kind.run(job, share_of(KINDS[i:], job, left))
            evidence = replace(evidence, **{kind.name: result})
            done: dict[str, str] = {"state": DONE}
        except NoTimeError as error:
            done = {"state": NOT_RUN, "why": str(error)}
        except (KeyboardInterrupt, Terminated) as error:
            done, stopped = {"state": INTERRUPTED, "why": "interrupted"}, error
        except (Exception, SystemExit) as error:  # whatever a user's function does
            if i == 0:
                raise
            done = {"state": FAILED, "why": _said(error)}
        settle(kind.name, seconds=job.clock() - begin, **done)
    return evidence, stopped


def _said(error: BaseException) -> str:
    if is_shortage(error):
        return "out of memory"
    return str(error) if isinstance(error, ActcompareError) else describe(error)


def share_of(kinds: Sequence[Kind], job: Job, left: float) -> float:
    """Return the seconds of the first of these parts.

    Raises:
        NoTimeError: Not even the least that it needs is left.
    """
    least = [kind.least_s(job) for kind in kinds]
    if least[0] > left:
        raise NoTimeError(least[0])
    fitting = next(n for n in range(len(kinds), 0, -1) if sum(least[:n]) <= left)
    weights = sum(kind.weight for kind in kinds[:fitting])
    surplus = left - sum(least[:fitting])
    return least[0] + (surplus * kinds[0].weight / weights if weights else 0.0)
