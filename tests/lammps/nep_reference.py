"""NEP_CPU on given structures; runs inside NEP's environment: ``python -P nep_reference.py DEPLOY_DIR NEP_TXT DIR``.

DEPLOY_DIR holds ``nep_worker.py``. DIR holds ``structures.json``; writes ``reference.json``.
"""

import json
import sys
from pathlib import Path

import ase


def main():
    sys.path.append(sys.argv[1])
    from nep_worker import NepCpu

    folder = Path(sys.argv[3])
    calculator, results = NepCpu(sys.argv[2]), {}
    for name, s in json.loads((folder / "structures.json").read_text()).items():
        atoms = ase.Atoms(s["symbols"], positions=s["positions"], cell=s["cell"], pbc=True)
        atoms.calc = calculator
        results[name] = {
            "energy": float(atoms.get_potential_energy()),
            "energies": atoms.get_potential_energies().tolist(),
            "forces": atoms.get_forces().tolist(),
            "stress": atoms.get_stress(voigt=False).tolist(),
        }
    (folder / "reference.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
