"""Potentials that are polynomials of moments of the neighbours: linear ACE, MTP and PACE as one kind of program."""
