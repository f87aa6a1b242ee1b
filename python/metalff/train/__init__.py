"""Training: one module per model family, and the worker that runs inside the family's environment."""
