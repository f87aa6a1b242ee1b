"""Free electrons in the part of GPAW: a folder of eigenvalues as the worker leaves it."""

import itertools

import numpy as np
import pytest

from metalff.fermi import bands
from metalff.fermi.surface import MASS


@pytest.fixture(scope="session")
def sodium(tmp_path_factory):
    """Files of Na on both meshes."""
    folder = tmp_path_factory.mktemp("eigenvalues")
    atoms = bands.primitive_cell(bands.metal("Na"))
    reciprocal = 2 * np.pi * atoms.cell.reciprocal().array
    shifts = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ reciprocal
    for mesh in bands.orders("Na", folder)["meshes"]:
        points = np.stack(np.meshgrid(*(np.arange(count) / count for count in mesh["size"]), indexing="ij"), -1).reshape(-1, 3)
        away = (points - np.rint(points)) @ reciprocal
        energies = np.sort(MASS / 2 * ((away[:, None] - shifts) ** 2).sum(-1), axis=1)[:, :3].T
        np.savez(
            mesh["file"],
            task=mesh["task"],
            eigenvalues=energies,
            d_shares=np.full_like(energies, 0.25),
            places=np.arange(len(points)).reshape(mesh["size"]),
            cell=atoms.cell.array,
            electrons=1.0,
            details="{}",
        )
    return folder
