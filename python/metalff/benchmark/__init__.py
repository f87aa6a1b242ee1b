"""The fair comparison: models × data sets × (accuracy, speed, stability) → one table and its pictures; resumable."""
