"""`actcompare bench`."""
