"""Watch the units of a model within a training loop."""
