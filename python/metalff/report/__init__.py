"""Results of sweeps and validations → one self-contained HTML page."""
