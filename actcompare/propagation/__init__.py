"""`depth`: what becomes of the signal in a deep net, and which initialisation to use."""
