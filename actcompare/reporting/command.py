"""`actcompare report`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actcompare.cli.options import (
    BOTH,
    GATE_TRIPPED,
    Acts,
    Device,
    Paged,
    Sourced,
    gate_option,
    grouped,
    option,
    settings_of,
)
from actcompare.cli.streams import prints_aside
from actcompare.errors import Terminated
from actcompare.output.formats import Destination, Format
from actcompare.output.messages import say
from actcompare.output.results import heading, write

if TYPE_CHECKING:
    from actcompare.output.gates import Gate
    from actcompare.reporting.evidence import Part
    from actcompare.reporting.report import Listener, Report


@dataclass(frozen=True)
class ReportOptions(Sourced):
    """Settings of `actcompare.report` on the command line."""

    activations: Acts = field(default_factory=lambda: list(BOTH))
    budget: Annotated[float, option("Seconds for all measurements.", "SECONDS")] = 60.0
    margin: Annotated[
        float, option("Differences of the test metric within this margin do not matter.")
    ] = 0.01
    seed: Annotated[int, option("First seed.")] = 0
    device: Device = "cpu"


@grouped
def report_command(
    *,
    options: ReportOptions,
    store: Annotated[
        Path | None, option("Keep the study in FILE; a later report goes on from it.", "FILE")
    ] = None,
    fail_on: Annotated[list[str] | None, gate_option("claim.dead_units==holds")] = None,
    written: Paged,
) -> None:
    """Which activation to use, for you: one page with the answer and its evidence.

    Example: actcompare report -o report.html
    """
    destination = written.destination()
    from actcompare.output.gates import parse_gates
    from actcompare.reporting.answers import NUMBERS, QUALITIES
    from actcompare.reporting.claims import NAMES
    from actcompare.reporting.page import check_page
    from actcompare.reporting.report import carry_out, prepare
    from actcompare.reporting.verdicts import VERDICTS

    texts = {"quality": QUALITIES} | {f"claim.{name}": VERDICTS for name in NAMES}
    gates = parse_gates(fail_on, NUMBERS, more=texts)
    if destination.format is Format.html:
        check_page()
    settings = settings_of(options) | {"store": None if store is None else str(store)}
    with part_lines(written.quiet) as listen, prints_aside():
        job = prepare(settings.pop("activations"), settings.pop("data"), **settings)
        for note in () if written.quiet else job.dataset.notes:
            say(f"warning: {note}")
        report, stopped = carry_out(job, listen)
    try:
        _show(report, destination)
    except (
        KeyboardInterrupt,
        Terminated,
    ) as interrupt:  # what was measured is written all the same
        stopped = stopped or interrupt
        _show(report, destination)
    failures = report.evidence.failures()
    for reason in failures:
        say(f"error: {reason}")
    if stopped is not None:
        raise stopped
    if _trips(gates, report):
        raise typer.Exit(GATE_TRIPPED)
    if failures:
        raise typer.Exit(1)


@contextmanager
def part_lines(quiet: bool) -> "Iterator[Listener | None]":
    """Show the parts, their states and the time left."""
    from actcompare.cli.progress import part_list
    from actcompare.reporting.evidence import WAITING
    from actcompare.text import duration

    def state(part: "Part") -> str:
        if not part.seconds:
            return "" if part.state == WAITING else part.state
        return f"{part.state}, {duration(part.seconds)}"

    with part_list(quiet) as update:
        if update is None:
            yield None
            return

        def tell(parts: "Sequence[Part]", left: float) -> None:
            update([(part.title, state(part)) for part in parts], left)

        yield tell


def _show(report: "Report", destination: Destination) -> None:
    from actcompare.files.writing import open_output
    from actcompare.reporting import tables
    from actcompare.reporting.advice import changes, limits, uses
    from actcompare.reporting.answers import headline, missing, sentences

    evidence = report.evidence
    if destination.format is Format.html:
        page = report.html()
        with open_output(destination.file) as out:
            out.write(page)
        return
    again = f"To make it again: {evidence.config.command()}"
    grids = [tables.answer_grid(evidence), tables.uses_grid(evidence)]
    grids.append(tables.claims_grid(report.claims))
    if evidence.variations:
        grids.append(tables.changes_grid(evidence))
    write(
        destination,
        heading("report", asdict(evidence.config), evidence.environment.as_dict()),
        report.columns(),
        grids,
        "\n".join([*limits(evidence), *missing(evidence), again]),
        lead="\n".join([headline(evidence), *sentences(evidence)]),
        more={
            "answer": report.reading(),
            "claims": [asdict(claim) for claim in report.claims],
            "uses": [asdict(use) for use in uses(evidence)],
            "changes": changes(evidence),
            "parts": [asdict(part) for part in evidence.parts],
            "sections": _sections(report),
        },
    )


def _sections(report: "Report") -> dict[str, list[dict[str, Any]]]:
    """Return the records of every part."""
    evidence = report.evidence
    tabular = {name: getattr(evidence, name) for name in ("step", "study", "alone", "depth")}
    tabular["compiled"] = evidence.compiled
    found = {name: part.table.records for name, part in tabular.items() if part is not None}
    if evidence.functions is not None:
        found["functions"] = evidence.functions.comparison.table.records
    if evidence.outputs is not None:
        found["outputs"] = evidence.outputs.rows()
    return found


def _trips(gates: "list[Gate]", report: "Report") -> bool:
    """Return whether a gate trips; report each one that does on stderr, with its value."""
    from actcompare.output.gates import report_tripped

    columns = report.columns()
    claims = {f"claim.{claim.name}": [claim.verdict] for claim in report.claims}
    measured = {f"claim.{claim.name}": claim.measured for claim in report.claims}

    def where(column: str, i: int) -> str:
        value = columns[column][i]
        shown = value if isinstance(value, str) else f"{value:.6g}"
        return f"it is {shown} for {columns['activation'][i]}"

    of_claims = [gate for gate in gates if gate.column in claims]
    others = [gate for gate in gates if gate not in of_claims]
    tripped = [
        report_tripped(others, columns, where),
        report_tripped(
            of_claims, claims, lambda column, _: f"it is: {claims[column][0]} ({measured[column]})"
        ),
    ]
    return any(tripped)
