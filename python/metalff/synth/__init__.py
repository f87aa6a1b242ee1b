"""Synthetic data: molecular dynamics with a classical potential in the part of DFT, and other labels for given structures."""
