"""What pytest does not collect: scripts that import the packages that they measure."""

collect_ignore = ["census.py"]
