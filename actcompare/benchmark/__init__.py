"""`actcompare bench`: what activations cost."""
