"""The JSON files of materialsvirtuallab/mlearn and maml: pymatgen dictionaries, read without pymatgen.

``virial_stress`` holds the six numbers that VASP prints after "in kB": kbar, positive under compression, so ASE's
stress is −1 × that. Their order is not the same in all files: xx yy zz xy xz yz for Cu, Ni and Mo, but VASP's own xx
yy zz xy yz zx for Li. Both were checked, not assumed: a (2 1 0) surface cell has a mirror plane across x, so of the
shears only yz may differ from zero; and the slopes of shear stress over shear strain give C44 = 84, 140 and 105 GPa
for Cu, Ni and Mo (``tests/data/test_bundled.py``). For elements that nobody checked the stress is None. The shear
stress of the strained two-atom Li cells changes sign between strains of 0.005 and 0.010: that is in the source.

Files of maml (Nb, Mo, Ta, W; entries with ``tags``) have ``stress`` in VASP's own order and sign for every element: their sheared
two-atom cells have one shear each, and it is that of the number which is not zero; compressed trajectories have a positive pressure.
"""

import json
import re
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from metalff.data.checks import check_frame
from metalff.data.frame import Dataset, Frame
from metalff.data.text import text_of
from metalff.errors import MetalffError

EV_A3_PER_KBAR = 1.0 / 1602.176634
XY_XZ_YZ = [[0, 3, 4], [3, 1, 5], [4, 5, 2]]
XY_YZ_ZX = [[0, 3, 5], [3, 1, 4], [5, 4, 2]]
STRESS_ORDER = {"Cu": XY_XZ_YZ, "Ni": XY_XZ_YZ, "Mo": XY_XZ_YZ, "Li": XY_YZ_ZX}
MAML_GROUPS = {"md": "aimd", "test": "aimd", "strain": "strain", "surface": "surface"}
"""By the first word of an entry's tag: Md, Md_90, Md_110 (percent of the volume), test, Strain, Strain_new, Surface."""
GROUP_NAMES = {"AIMD-NVT": "aimd", "Vacancy": "vacancy", "Surface": "surface", "Elastic": "strain"}
CITATION = (
    "Y. Zuo, C. Chen, X. Li, Z. Deng, Y. Chen, J. Behler, G. Csányi, A. V. Shapeev, A. P. Thompson, M. A. Wood, "
    "S. P. Ong, Performance and Cost Assessment of Machine Learning Interatomic Potentials, "
    "J. Phys. Chem. A 124, 731 (2020), "
    "doi:10.1021/acs.jpca.9b08723"
)
MAML_CITATION = (
    "X.-G. Li, C. Chen, H. Zheng, Y. Zuo, S. P. Ong, Complex strengthening mechanisms in the NbMoTaW multi-principal element alloy, "
    "npj Comput. Mater. 6, 70 (2020), doi:10.1038/s41524-020-0339-0"
)


def read_mlearn(path) -> Dataset:
    """Read a list of entries of mlearn or maml (.json or .json.gz).

    Raises:
        MetalffError: names the file and the entry (from 0).
    """
    path = Path(path)
    text = text_of(path)
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MetalffError(f"{path}: not valid JSON ({error}); is the file truncated?") from None
    if not isinstance(entries, list) or not entries:
        raise MetalffError(f"{path}: expected a list of mlearn entries")
    frames = tuple(_frame(path, index, entry) for index, entry in enumerate(entries))
    return Dataset(path.name, frames, MAML_CITATION if is_maml(entries[0]) else CITATION, "BSD-3-Clause")


def is_maml(entry) -> bool:
    """Whether an entry describes itself in the way of maml."""
    return isinstance(entry, dict) and "tags" in entry


def _frame(path, index, entry) -> Frame:
    where = f"{path}: entry {index}"
    try:
        structure, outputs = entry["structure"], entry["outputs"]
        numbers = np.array([atomic_numbers[site["species"][0]["element"]] for site in structure["sites"]])
        describe = _describe_maml if is_maml(entry) else _describe_mlearn
        frame = Frame(
            numbers=numbers,
            positions=np.array([site["xyz"] for site in structure["sites"]], float),
            cell=np.array(structure["lattice"]["matrix"], float),
            pbc=np.ones(3, bool),
            energy=float(outputs["energy"]),
            forces=np.array(outputs["forces"], float).reshape(len(numbers), 3),
            source=path.name,
            index=index,
            **describe(entry),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise MetalffError(f"{where}: not an mlearn entry with structure, energy and forces ({error!r})") from None
    return check_frame(frame, where)


def _describe_mlearn(entry) -> dict:
    return {
        "stress": stress_of(entry["element"], entry["outputs"].get("virial_stress")),
        "temperature": temperature_of(entry["description"]),
        "group": group_of(entry["group"], entry["description"]),
    }


def _describe_maml(entry) -> dict:
    """Stress, temperature and group; a note such as ``300-37`` or ``md110-300-4`` is kelvin and snapshot."""
    tag = entry["tags"] if isinstance(entry["tags"], str) else entry["tags"][0]
    group = MAML_GROUPS.get(tag.split("_")[0].lower(), tag.lower())
    stress = entry["outputs"].get("stress")
    kelvin = trajectory(entry)[1] if group == "aimd" else None
    if group == "strain" and next(iter(entry.get("notes", {}).values()), "") == "1--0.0000":
        group = "ground"
    return {
        "stress": None if stress is None else -EV_A3_PER_KBAR * np.array(stress, float)[XY_YZ_ZX],
        "temperature": kelvin,
        "group": group,
    }


def trajectory(entry) -> tuple[str, float, int]:
    """Tag, temperature (K) and snapshot of an entry of maml's molecular dynamics: what its frames are sorted by.

    Raises:
        ValueError: the note does not say so.
    """
    note = next(iter(entry["notes"].values()))
    match = re.fullmatch(r"(?:(md\d*)-|-)?(\d+)-(\d+)", note)
    if match is None:
        raise ValueError(f"note {note!r}")
    tag = entry["tags"] if isinstance(entry["tags"], str) else entry["tags"][0]
    return match[1] or tag, float(match[2]), int(match[3])


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
