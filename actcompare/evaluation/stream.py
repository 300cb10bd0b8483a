"""Collect what is reported after a stream of evaluations."""

import math

from actcompare.errors import ActcompareError
from actcompare.evaluation.evaluate import Evaluation
from actcompare.evaluation.explain import Caution


class Seen:
    """Cautions, the range of x, and the first points of a stream of evaluations."""

    MOST_MARKED = 50

    def __init__(self) -> None:
        self.few: list[float] = []
        self._low, self._high = math.inf, -math.inf
        self._cautions: dict[str, list[Caution]] = {}

    def add(self, evaluation: Evaluation) -> Evaluation:
        """Record an evaluation and return it."""
        finite = evaluation.x[evaluation.x.isfinite()].double()
        if len(finite):
            self._low = min(self._low, finite.min().item())
            self._high = max(self._high, finite.max().item())
        room = self.MOST_MARKED + 1 - len(self.few)
        self.few += evaluation.x[: max(room, 0)].tolist()
        for caution in evaluation.cautions:
            same_kind = self._cautions.setdefault(caution.kind, [])
            if caution.label not in [known.label for known in same_kind]:
                same_kind.append(caution)
        return evaluation

    def messages(self) -> list[str]:
        """Return one message per kind of caution, naming the other activations it applies to."""
        messages = []
        for first, *others in self._cautions.values():
            labels = ", ".join(other.label for other in others)
            also = f" (also, at other points: {labels})" if others else ""
            messages.append(first.message + also)
        return messages

    def plotted_range(self) -> list[float]:
        """Return a fine grid over the range of the points, with a margin at both ends."""
        if self._low > self._high:
            raise ActcompareError("nothing to plot: no point is finite")
        room = 0.05 * (self._high - self._low) or 1.0
        start, stop = self._low - room, self._high + room
        return [start + (stop - start) * i / 600 for i in range(601)]
