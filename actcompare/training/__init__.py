"""`actcompare train`: train a SimpleNet with one activation."""
