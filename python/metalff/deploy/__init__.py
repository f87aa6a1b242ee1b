"""Trained model → artefact: one module per family."""
