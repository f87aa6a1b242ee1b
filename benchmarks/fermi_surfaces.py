"""Areas of Fermi surfaces beside those of ifermi, from the same eigenvalues, without interpolation.

    pip install --no-deps ifermi; pip install pymatgen trimesh 'metalff[fermi]'      # of ifermi only its interpolation needs BoltzTraP2
    metalff fermi Na Cu Al Nb W
    python benchmarks/fermi_surfaces.py Na Cu Al Nb W

ifermi cuts the surface out of 3 × 3 × 3 cells along the first Brillouin zone; ``metalff.fermi`` counts one cell of the reciprocal lattice. Both have one surface per
reciprocal cell, so that areas must agree band by band.
"""

import argparse
import itertools

import numpy as np
from ifermi.brillouin_zone import WignerSeitzCell
from ifermi.surface import compute_isosurfaces, expand_bands
from pymatgen.core import Structure
from pymatgen.electronic_structure.core import Spin

from metalff.fermi import bands, metals
from metalff.fermi.surface import measures

LINE = "{:<8}{:>6}{:>14}{:>14}{:>12}{:>8}{:>8}"


def areas(found: bands.Bands, level: float) -> dict[int, float]:
    """Area per band by ifermi, 1/Å²."""
    atoms = bands.primitive_cell(metals.metal(found.symbol))
    cell = WignerSeitzCell.from_structure(Structure(atoms.cell.array, atoms.get_chemical_symbols(), atoms.get_scaled_positions()))
    mesh = found.eigenvalues.shape[1:]
    points = np.array(list(itertools.product(*(range(count) for count in mesh)))) / mesh
    energies = {Spin.up: found.eigenvalues.reshape(len(found.eigenvalues), -1).copy()}
    energies, points = expand_bands(energies, points, supercell_dim=(3, 3, 3), center=(1, 1, 1))
    total = {}
    for surface in compute_isosurfaces(energies, points, level, cell)[Spin.up]:
        total[surface.band_idx] = total.get(surface.band_idx, 0.0) + float(surface.area)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metals", nargs="+")
    parser.add_argument("--eigenvalues", help="folder; the cache of metalff fermi when it is left out")
    chosen = parser.parse_args()
    print(LINE.format("metal", "band", "ifermi 1/Å²", "here 1/Å²", "difference", "sheets", "euler"))
    for symbol in chosen.metals:
        found = bands.load(symbol, bands.folder_of(chosen.eigenvalues))
        level = metals.fermi_level(found)
        theirs = areas(found, level)
        for own in measures(found.eigenvalues, level, found.reciprocal)["bands"]:
            other = theirs.get(own["band"], float("nan"))
            change = f"{100 * (own['area'] / other - 1):+.3f} %"
            print(LINE.format(symbol, own["band"], f"{other:.4f}", f"{own['area']:.4f}", change, own["sheets"], own["euler"]))


if __name__ == "__main__":
    main()
