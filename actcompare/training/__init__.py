"""`actcompare train`."""
