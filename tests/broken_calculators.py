"""Calculators that are wrong in one way each."""

import numpy as np
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones


class ScaledForces(EMT):
    """Forces 1 % too large."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["forces"] = 1.01 * self.results["forces"]


class Directed(EMT):
    """An energy that knows where x is."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["energy"] = self.results["energy"] + 0.01 * len(atoms) * float(np.abs(atoms.cell.array[:, 0]).sum())


def cut_off():
    """Lennard-Jones that ends in a step of the energy."""

    class Step(LennardJones):
        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            distances = atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)]
            self.results["energy"] += 0.05 * int((distances < 5.0).sum())

    return Step(sigma=2.3, epsilon=0.3, rc=5.0, smooth=True, ro=4.0)
