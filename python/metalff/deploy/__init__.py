"""Trained model → artefact: one module per family."""

import importlib
from functools import partial

SHARED = ("allegro", "nequip")
"""Families of ``metalff.deploy.nequip``, which is told which; the others have a module of their own."""


def of_family(family: str):
    """``deploy(source, output, …)`` of a family."""
    module = importlib.import_module(f"metalff.deploy.{'nequip' if family in SHARED else family}")
    return partial(module.deploy, family) if family in SHARED else module.deploy
