"""Comparison with reference data: metrics and their intervals. Only ``folder`` reads or writes files."""
