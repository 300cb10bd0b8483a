"""The units of a layer: statistics, verdicts and their names."""
