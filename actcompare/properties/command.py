"""`actcompare table` and `actcompare list`."""

from dataclasses import asdict

from actcompare.cli.options import BOTH, Acts, Device, Dtype, NumberFormat, Written, grouped
from actcompare.cli.streams import prints_aside
from actcompare.output.formats import Format
from actcompare.output.results import heading, write


@grouped
def table_command(
    *,
    act: Acts = BOTH,
    dtype: Dtype = NumberFormat.float32,
    device: Device = "cpu",
    written: Written,
) -> None:
    """The comparison table: every property probed from the function itself.

    Example: actcompare table --act relu --act softplus
    """
    destination = written.destination()
    from actcompare.properties.compare import compare
    from actcompare.properties.tables import comparison_grids

    with prints_aside():
        comparison = compare(act, dtype=dtype.value, device=device)
    columns, reading = comparison.columns(), comparison.reading()
    head = heading("table", asdict(comparison.config), comparison.environment.as_dict())
    write(destination, head, columns, comparison_grids(columns), reading)


@grouped
def list_command(written: Written) -> None:
    """The catalogue: every activation known by name, its formula and parameters.

    Example: actcompare list --format markdown
    """
    destination = written.destination()
    from actcompare.activations.catalogue import CATALOGUE
    from actcompare.properties.tables import catalogue_columns, catalogue_grid

    environment = {}
    if destination.format is Format.json:
        import torch

        from actcompare.machine.environment import describe_environment

        environment = describe_environment(torch.device("cpu")).as_dict()
    columns = catalogue_columns(CATALOGUE)
    head = heading("list", {}, environment)
    write(destination, head, columns, [catalogue_grid(columns)], "")
