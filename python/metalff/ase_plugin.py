"""Entry point ``ase.plugins``: ASE finds the calculator ``mlff`` in what is installed."""

from ase._4.plugins.plugin import CalculatorPlugin

__ase_plugins__ = {
    CalculatorPlugin("mlff", citation="MetalFF, with the model that is used: metalff inspect FILE.mlff", implementation="metalff.calculator.MLFFCalculator")
}
