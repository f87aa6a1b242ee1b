"""Comparison with reference data: metrics and their intervals. Nothing here reads or writes a file."""
