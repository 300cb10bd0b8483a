"""Evidence made up of given results."""

from actcompare.machine.environment import Environment
from actcompare.reporting.evidence import NOT_RUN, Evidence, Part, ReportConfig
from actcompare.reporting.parts.kinds import KINDS

HERE = Environment("0", "2.0", "3.11", "Linux", "a CPU", 2, 2, "cpu", "a CPU")


def evidence(*activations: str, data: str = "digits") -> Evidence:
    """Evidence without any results."""
    config = ReportConfig(activations=activations or ("relu", "softplus"), data=data)
    parts = (
        Part(kind.name, kind.title, f"actcompare {kind.name}", NOT_RUN, 0.0, "no time")
        for kind in KINDS
    )
    return Evidence(config, HERE, tuple(parts))
