"""What a potential says a metal is: crystal, elasticity, defects, phonons, dynamics, beside experiment and DFT."""

from metalff.properties.run import measure, read_properties

__all__ = ["measure", "read_properties"]
