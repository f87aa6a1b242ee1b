"""Elastic constants."""

import numpy as np
from ase.optimize import BFGS
from matscipy.elasticity import full_3x3x3x3_to_Voigt_6x6, measure_triclinic_elastic_constants

from metalff.data.metals import CUBIC, ELASTIC
from metalff.potentials.stated import GPA, bulk_modulus
from metalff.properties.measurement import Measured, Measurement, Subject, Value

STRAIN = 0.004
"""Of the central differences."""

INNER = {"fmax": 1e-4, "steps": 60}
"""Relaxation of the atoms in a strained cell."""


def elastic_matrix(calculator, cell, inner: bool) -> np.ndarray:
    """[6,6] GPa in Voigt order by central differences of the stress (``matscipy.elasticity``).

    Args:
        cell: ``ase.Atoms`` without stress.
        inner: atoms are relaxed in each strained cell.
    """
    atoms = cell.copy()
    atoms.calc = calculator
    relax = {"optimizer": BFGS, **INNER} if inner else {}
    tensor = measure_triclinic_elastic_constants(atoms, delta=STRAIN, **relax)
    matrix = full_3x3x3x3_to_Voigt_6x6(tensor, check_symmetry=False) * GPA
    return (matrix + matrix.T) / 2


def stable(matrix) -> bool:
    """Born's criterion: the elastic matrix is positive definite (Mouhat and Coudert, Phys. Rev. B 90, 224104 (2014))."""
    return bool(np.linalg.eigvalsh(matrix).min() > 0)


def run(subject: Subject) -> Measured:
    crystal = subject.metal.crystal
    matrix = elastic_matrix(subject.calculator, subject.cell, crystal == "hcp")
    values = {name: Value(float(matrix[int(name[1]) - 1, int(name[2]) - 1]), "GPa") for name in ELASTIC.get(crystal, CUBIC)}
    values["bulk_modulus"] = Value(bulk_modulus({name: one.value for name, one in values.items()}), "GPa")
    if crystal != "hcp":
        c11, c12, c44 = (values[name].value for name in CUBIC)
        values["anisotropy"] = Value(2 * c44 / (c11 - c12), "")
    least = float(np.linalg.eigvalsh(matrix).min())
    warnings = () if stable(matrix) else (f"mechanically unstable: the smallest eigenvalue of the elastic matrix is {least:.1f} GPa",)
    return Measured(values, warnings=warnings, detail={"matrix": matrix.round(4).tolist()})


MEASUREMENTS = (
    Measurement(
        "elastic",
        "Elastic constants",
        1,
        run,
        1,
        """Elastic constants (GPa) of the relaxed crystal at 0 K, the bulk modulus and Zener's anisotropy of them, and Born's stability.
Central differences of the stress at strains of 0.4 %, by `matscipy.elasticity`; atoms of hcp are relaxed in every strained cell. Experiment is
at room temperature, where constants are some percent softer. Constants of a potential trained on few strained cells may be off by tens of
percent while its force errors look good. The bulk modulus is Voigt's average and should agree with that of `eos`.""",
        needs=("lattice",),
    ),
)
