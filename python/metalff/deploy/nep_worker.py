"""NEP's own CPU code on given structures; runs inside NEP's environment: ``python -P nep_worker.py NEP_TXT OUT_DIR``.

Writes ``selftest.json`` into OUT_DIR: the numbers of NEP_CPU, which calorine carries.
"""

import json
import os
import sys
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import _nepy  # calorine's binding; its Python side takes nothing but NEP4
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

sys.path.append(str(Path(__file__).resolve().parent))
from reference import selftest  # noqa: E402


@contextmanager
def quiet():
    """Nothing on standard output, from C++ either."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


class NepCpu(Calculator):
    """NEP_CPU; energies in eV, forces in eV/Å, stress in eV/Å³."""

    implemented_properties = ("energy", "energies", "forces", "stress")

    def __init__(self, path):
        super().__init__()
        self.path, self.nep, self.made_for = str(path), None, None

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        columns = [list(x.T.flatten()) for x in (atoms.cell.array, atoms.positions)]
        symbols = list(atoms.symbols)
        same = (symbols, columns[0])
        if self.made_for != same:
            with quiet():
                masses = list(atoms.get_masses())
                self.nep = _nepy.NEPY(self.path, len(atoms), columns[0], symbols, columns[1], masses)
            self.made_for = same
        self.nep.set_positions(columns[1])
        energies, forces, virials = map(np.array, self.nep.get_potential_forces_and_virials())
        virial = virials.reshape(9, -1).sum(1).reshape(3, 3)
        stress = -0.5 * (virial + virial.T) / atoms.get_volume()
        self.results = {
            "energy": energies.sum(),
            "energies": energies,
            "forces": forces.reshape(3, -1).T,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }


def main():
    path, out = Path(sys.argv[1]), Path(sys.argv[2])
    symbols = path.read_text().split("\n", 1)[0].split()[2:]
    print(json.dumps({"say": "reference energies, forces and stresses from NEP_CPU"}), flush=True)
    (out / "selftest.json").write_text(json.dumps(selftest(NepCpu(path), symbols[:4])))
    (out / "versions.json").write_text(json.dumps({"calorine": metadata.version("calorine")}))


if __name__ == "__main__":
    main()
