"""Fermi surfaces of metals, and how rough the band energy is along paths."""
