"""Activations: the catalogue, SPECs, users' own functions, derivatives and exact values."""
