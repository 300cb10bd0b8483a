"""`actcompare table` and `actcompare list`."""

from dataclasses import asdict

from actcompare.cli.options import BOTH, Acts, Device, Dtype, NumberFormat, Output, OutputFormat
from actcompare.cli.streams import prints_aside
from actcompare.output.formats import Format, choose_format
from actcompare.output.results import heading, write


def table_command(
    act: Acts = BOTH,
    dtype: Dtype = NumberFormat.float32,
    device: Device = "cpu",
    output_format: OutputFormat = None,
    output: Output = None,
) -> None:
    """The comparison table: every property probed from the function itself."""
    from actcompare.properties.compare import compare
    from actcompare.properties.tables import comparison_grids

    with prints_aside():
        comparison = compare(act, dtype=dtype.value, device=device)
    columns, reading = comparison.columns(), comparison.reading()
    write(
        heading("table", asdict(comparison.config), comparison.environment.as_dict()),
        columns,
        comparison_grids(columns),
        reading,
        choose_format(output_format, output),
        output,
    )


def list_command(output_format: OutputFormat = None, output: Output = None) -> None:
    """The catalogue: every activation known by name, its formula and parameters."""
    from actcompare.activations.catalogue import CATALOGUE
    from actcompare.properties.tables import catalogue_columns, catalogue_grid

    output_format = choose_format(output_format, output)
    environment = {}
    if output_format is Format.json:
        import torch

        from actcompare.machine.environment import describe_environment

        environment = describe_environment(torch.device("cpu")).as_dict()
    columns = catalogue_columns(CATALOGUE)
    head = heading("list", {}, environment)
    write(head, columns, [catalogue_grid(columns)], "", output_format, output)
