"""Entry point ``ase.plugins``: ASE finds the calculator ``mlff`` among what is installed."""

from functools import cache

CITATION = "of the model that is used: metalff inspect FILE.mlff"


@cache
def _plugins() -> set:
    from ase._4.plugins.plugin import CalculatorPlugin  # its package asks for __ase_plugins__ while it is imported itself

    return {CalculatorPlugin("mlff", citation=CITATION, implementation="metalff.calculator.MLFFCalculator")}


def __getattr__(name):
    if name == "__ase_plugins__":
        return _plugins()
    raise AttributeError(f"module 'metalff.ase_plugin' has no attribute {name!r}")
