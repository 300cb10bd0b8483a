"""Watch the activations of a running model, whatever they are called from."""
