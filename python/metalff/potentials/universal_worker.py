"""A framework's own calculator behind a pipe; runs inside its environment: ``python -P universal_worker.py NAME THREADS``.

A line of its input is a structure as JSON (numbers, positions in Å, cell, pbc); a line of its output is what the calculator says
(energy in eV, energies, forces in eV/Å, stress[3,3] in eV/Å³) or ``{"error": …}``. It ends with its input.
"""

import json
import os
import signal
import sys
import warnings

import ase
import numpy as np
import torch


def chgnet(name):
    from chgnet.model.dynamics import CHGNetCalculator

    return CHGNetCalculator(use_device="cpu", on_isolated_atoms="ignore", return_site_energies=True)


def sevennet(name):
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator(name, device="cpu", modal="PBE" if name == "7net-mf-0" else None)


def answer(calculator, name, asked) -> dict:
    atoms = ase.Atoms(asked["numbers"], asked["positions"], cell=asked["cell"], pbc=asked["pbc"])
    if name == "chgnet" and not atoms.pbc.all():
        return {"error": "it takes only structures that are periodic in all directions"}
    atoms.calc = calculator
    try:
        energy, forces = float(atoms.get_potential_energy()), atoms.get_forces()
        energies = np.array(atoms.get_potential_energies(), float).flatten()
        stress = atoms.get_stress(voigt=False) if atoms.cell.rank == 3 else np.zeros((3, 3))
    except Exception as error:
        return {"error": (str(error).strip().splitlines() or [type(error).__name__])[0]}
    numbers = {"energies": energies, "forces": forces, "stress": stress}
    return {"energy": energy} | {key: np.array(value, float).tolist() for key, value in numbers.items()}


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, whose end closes the pipe
    warnings.simplefilter("ignore")
    name = sys.argv[1]
    torch.set_num_threads(int(sys.argv[2]))
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # frameworks print
        calculator = (chgnet if name == "chgnet" else sevennet)(name)
        for line in sys.stdin:
            out.write(json.dumps(answer(calculator, name, json.loads(line))) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
