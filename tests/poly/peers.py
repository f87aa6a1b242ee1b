"""Numbers of other codes for the tests: `PYTHONPATH=tests python tests/poly/peers.py` writes AlNi.yace and peers.json anew.

Needs motep 0.2.0 and python-ace 0.4.0rc1, both of PyPI; motep's ``cext`` engine, and the evaluator of ML-PACE in python-ace, whose splines of 0.0001 Å
limit it to about 1e-9 of the largest force.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from motep.calculator import MTP
from motep.io.mlip.mtp import read_mtp
from pyace import ACEBBasisSet, ACECTildeBasisSet, PyACECalculator, create_multispecies_basis_config

from metalff.deploy.reference import reference, structures
from poly_potentials import HERE, PUBLISHED, YACE, random_mtp, zbl_yace

CONFIGURATION = {
    "deltaSplineBins": 0.0001,
    "elements": ["Al", "Ni"],
    "embeddings": {
        "Al": {"npot": "FinnisSinclairShiftedScaled", "fs_parameters": [1, 1, 1, 0.5], "ndensity": 2},
        "Ni": {"npot": "FinnisSinclair", "fs_parameters": [1, 1], "ndensity": 1},
    },
    "bonds": {
        "Al": {"radbase": "SBessel", "radparameters": [5.25], "rcut": 5.0, "dcut": 0.01},
        "Ni": {
            "radbase": "ChebPow",
            "radparameters": [2.0],
            "rcut": 4.6,
            "dcut": 0.01,
            "core-repulsion": [30.0, 1.1],
            "r_in": 2.3,
            "delta_in": 0.3,
            "inner_cutoff_type": "distance",
        },
        "AlNi": {
            "radbase": "ChebExpCos",
            "radparameters": [3.5],
            "rcut": 4.8,
            "dcut": 0.2,
            "r_in": 2.0,
            "delta_in": 0.25,
            "inner_cutoff_type": "distance",
        },
    },
    "functions": {"ALL": {"nradmax_by_orders": [3, 2, 1, 1, 1], "lmax_by_orders": [0, 2, 2, 1, 1]}},
}


def cases(make, symbols) -> list[dict]:
    found = []
    for atoms in structures(symbols)[1:3]:
        atoms.calc = make()
        found.append(reference(atoms))
    return found


def motep(path, symbols):
    data = read_mtp(path)
    data.species = np.array([atomic_numbers[symbol] for symbol in symbols])
    return MTP(data, engine="cext")


def make_yace() -> None:
    for bond in CONFIGURATION["bonds"].values():
        bond["NameOfCutoffFunction"] = "cos"
    basis = ACEBBasisSet(create_multispecies_basis_config(CONFIGURATION))
    rng, radial = np.random.default_rng(3), len(basis.crad_coeffs)
    coefficients = np.array(basis.all_coeffs)
    coefficients[:radial] += rng.normal(0, 0.2, radial)
    coefficients[radial:] = rng.normal(0, 0.03, len(coefficients) - radial)
    basis.all_coeffs = coefficients.tolist()
    basis.to_ACECTildeBasisSet().save_yaml(str(YACE))


if __name__ == "__main__":
    make_yace()
    found = {symbol: cases(lambda symbol=symbol: motep(PUBLISHED / f"{symbol}.mtp", [symbol]), [symbol]) for symbol in ("Li", "Ni")}
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "random.mtp").write_text(random_mtp())
        found["random.mtp"] = cases(lambda: motep(Path(work) / "random.mtp", ["Al", "Ni"]), ["Al", "Ni"])
        (Path(work) / "zbl.yace").write_text(zbl_yace())
        found["zbl.yace"] = cases(lambda: PyACECalculator(ACECTildeBasisSet(str(Path(work) / "zbl.yace"))), ["Al", "Ni"])
    found["AlNi.yace"] = cases(lambda: PyACECalculator(ACECTildeBasisSet(str(YACE))), ["Al", "Ni"])
    (HERE / "peers.json").write_text(json.dumps(found) + "\n")
