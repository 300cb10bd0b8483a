"""Activations: the catalogue, SPECs, users' own, derivatives, exact values."""
