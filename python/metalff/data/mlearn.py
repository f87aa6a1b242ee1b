"""The JSON files of materialsvirtuallab/mlearn: pymatgen dictionaries, read without pymatgen.

``virial_stress`` holds the six numbers that VASP prints after "in kB": kbar, positive under compression, so ASE's
stress is −1 × that. Their order is not the same in all files: xx yy zz xy xz yz for Cu, Ni and Mo, but VASP's own xx
yy zz xy yz zx for Li. Both were checked, not assumed: a (2 1 0) surface cell has a mirror plane across x, so of the
shears only yz may differ from zero; and the slopes of shear stress over shear strain give C44 = 84, 140 and 105 GPa
for Cu, Ni and Mo (``tests/data/test_bundled.py``). For elements that nobody checked the stress is None. The shear
stress of the strained two-atom Li cells changes sign between strains of 0.005 and 0.010: that is in the source.
"""

import json
import re
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from metalff.data.extxyz import text_lines
from metalff.data.frame import Dataset, Frame
from metalff.errors import MetalffError

EV_A3_PER_KBAR = 1.0 / 1602.176634
XY_XZ_YZ = [[0, 3, 4], [3, 1, 5], [4, 5, 2]]
XY_YZ_ZX = [[0, 3, 5], [3, 1, 4], [5, 4, 2]]
STRESS_ORDER = {"Cu": XY_XZ_YZ, "Ni": XY_XZ_YZ, "Mo": XY_XZ_YZ, "Li": XY_YZ_ZX}
GROUP_NAMES = {"AIMD-NVT": "aimd", "Vacancy": "vacancy", "Surface": "surface", "Elastic": "strain"}
CITATION = (
    "Y. Zuo, C. Chen, X. Li, Z. Deng, Y. Chen, J. Behler, G. Csányi, A. V. Shapeev, A. P. Thompson, M. A. Wood, "
    "S. P. Ong, Performance and Cost Assessment of Machine Learning Interatomic Potentials, "
    "J. Phys. Chem. A 124, 731 (2020), "
    "doi:10.1021/acs.jpca.9b08723"
)


def read_mlearn(path) -> Dataset:
    """Read a list of mlearn entries (.json or .json.gz).

    Raises:
        MetalffError: names the file and the entry (from 0).
    """
    path = Path(path)
    text = "\n".join(text_lines(path))
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise MetalffError(f"{path}: not valid JSON ({error}); is the file truncated?") from None
    if not isinstance(entries, list) or not entries:
        raise MetalffError(f"{path}: expected a list of mlearn entries")
    return Dataset(
        path.name, tuple(_frame(path, index, entry) for index, entry in enumerate(entries)), CITATION, "BSD-3-Clause"
    )


def _frame(path, index, entry) -> Frame:
    where = f"{path}: entry {index}"
    try:
        structure, outputs = entry["structure"], entry["outputs"]
        numbers = np.array([atomic_numbers[site["species"][0]["element"]] for site in structure["sites"]])
        frame = Frame(
            numbers=numbers,
            positions=np.array([site["xyz"] for site in structure["sites"]], float),
            cell=np.array(structure["lattice"]["matrix"], float),
            pbc=np.ones(3, bool),
            energy=float(outputs["energy"]),
            forces=np.array(outputs["forces"], float).reshape(len(numbers), 3),
            stress=stress_of(entry["element"], outputs.get("virial_stress")),
            temperature=temperature_of(entry["description"]),
            group=group_of(entry["group"], entry["description"]),
            source=path.name,
            index=index,
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise MetalffError(f"{where}: not an mlearn entry with structure, energy and forces ({error!r})") from None
    if not (np.isfinite(frame.energy) and np.isfinite(frame.forces).all() and np.isfinite(frame.positions).all()):
        raise MetalffError(f"{where}: energy, forces or positions are not finite")
    return frame


def stress_of(element: str, virial_stress) -> np.ndarray | None:
    """[3,3] eV/Å³ in ASE's sign from the six kbar numbers; None when there are none or their order is not known."""
    if virial_stress is None or element not in STRESS_ORDER:
        return None
    return -EV_A3_PER_KBAR * np.array(virial_stress, float)[STRESS_ORDER[element]]


def temperature_of(description: str) -> float | None:
    """K, from "… simulation at 300 K"; None for structures that no thermostat made."""
    match = re.search(r"\bat (\d+(?:\.\d+)?) K\b", description)
    return float(match[1]) if match else None


def group_of(group: str, description: str) -> str:
    """Our name of the group; relaxed crystals leave the source's "Elastic" and become ``ground``."""
    if description == "Ground state crystal" or description.endswith("relaxed"):
        return "ground"
    return GROUP_NAMES.get(group, group.lower())
