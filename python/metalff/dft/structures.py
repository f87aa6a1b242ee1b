"""Small periodic cells out of molecular dynamics, for DFT: of every temperature and volume, decorrelated."""

import itertools
import math

import numpy as np
from matscipy.neighbours import neighbour_list

from metalff.data.metals import Metal, metal
from metalff.errors import MetalffError
from metalff.potentials import resolve
from metalff.simulation import BlownUp, Simulation
from metalff.synth.synth import FRACTIONS, ROOM, is_liquid, settle

STRAINS = (-0.06, -0.03, 0.0, 0.03, 0.06, 0.1)
"""Of the volume at zero pressure. Beyond what thermal pressure does, since the potential's volume need not be that of DFT."""

MELT_AT = 3.0
"""A small cell is melted at so many times its temperature."""

MELT_PS = 2.0

SETTLE_PS = 2.0
"""At its temperature and volume, before the first structure."""

SPACING_PS = 1.0
"""Between structures of one run; forces of metals are decorrelated after 0.5 ps (``synth``)."""

CLOSE = 0.6
"""Structures with two atoms closer than this part of the nearest-neighbour distance of the crystal are passed over: cores of DFT would overlap."""

SWOLLEN = 1.5
"""A cell whose volume grows by more than this factor over that of the crystal has evaporated."""

PATIENCE = 10
"""Structures that may be passed over for each that is kept."""


def small_cell(chosen: Metal, atoms: int):
    """The most compact orthogonal cell of the perfect crystal with this many atoms, as ``ase.Atoms``.

    Of all repeats of the orthogonal unit cells: the one with the longest shortest edge, then with the shortest longest edge.

    Raises:
        MetalffError: no orthogonal cell has this many atoms.
    """
    best = None
    for unit in _units(chosen):
        if atoms % len(unit):
            continue
        count = atoms // len(unit)
        for i, j in itertools.product(range(1, count + 1), repeat=2):
            if count % (i * j):
                continue
            lengths = unit.cell.lengths() * (i, j, count // (i * j))
            rank = (-round(min(lengths), 6), round(max(lengths), 6))
            if best is None or rank < best[0]:
                best = rank, unit * (i, j, count // (i * j))
    if best is None:
        step = min(len(unit) for unit in _units(chosen))
        raise MetalffError(f"no orthogonal cell of {chosen.symbol} ({chosen.crystal}) has {atoms} atoms; give a multiple of {step}")
    return best[1]


def _units(chosen: Metal) -> list:
    """Orthogonal unit cells: along the axes, and for cubic crystals turned by 45° about z."""
    from ase import Atoms

    units = [chosen.unit_cell()]
    a, turned = chosen.a, chosen.a / math.sqrt(2)
    if chosen.crystal == "fcc":
        units.append(Atoms([chosen.symbol] * 2, scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=(turned, turned, a), pbc=True))
    if chosen.crystal == "bcc":
        places = [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
        units.append(Atoms([chosen.symbol] * 4, scaled_positions=places, cell=(2 * turned, 2 * turned, a), pbc=True))
    return units


def temperatures_of(chosen: Metal) -> list[float]:
    """About room temperature, ½, 1 and 1.2 of the melting temperature, K."""
    return [float(round(t)) for t in (ROOM, *(part * chosen.melting_temperature for part in FRACTIONS))]


def draw(symbol: str, name: str, atoms: int, frames: int, temperatures=None, strains=STRAINS, seed: int = 1, progress=lambda done: None) -> list:
    """Structures of one metal, as ``ase.Atoms`` in an order of which every beginning has all temperatures and volumes.

    Structure j has temperature j mod T and strain j div T mod S. A supercell gives the cell of each temperature at zero pressure (melted above the melting
    temperature); the small cell is strained from that and moves at constant volume, melted first as well; each pair of temperature and strain is a run of its own.
    So small a cell has no true liquid: above the melting temperature it is disordered, and no more is claimed.

    Args:
        name: of the potential that moves the atoms.
        temperatures: K; None for ``temperatures_of``.
        strains: of the volume.
        progress: called with the number of structures drawn.
    Returns:
        ``info`` of each has ``temperature`` (K), ``strain`` and ``run``, a number for each pair.
    Raises:
        MetalffError: unknown metal or potential, no such cell, or the potential does not hold the metal together.
    """
    chosen, potential = metal(symbol), resolve(name, [symbol])
    temperatures = list(temperatures or temperatures_of(chosen))
    perfect = small_cell(chosen, atoms)
    places = {}
    for j in range(frames):
        places.setdefault((j % len(temperatures), j // len(temperatures) % len(strains)), []).append(j)
    found = [None] * frames
    stretches = {}
    for run, ((t, s), wanted) in enumerate(sorted(places.items())):
        temperature, strain = temperatures[t], strains[s]
        try:
            if t not in stretches:
                stretches[t] = _stretch(potential, chosen, temperature, 1000 * seed + t)
            drawn = _run(potential, chosen, perfect, temperature, stretches[t] * (1 + strain) ** (1 / 3), len(wanted), 1000 * seed + 100 + run)
        except BlownUp as error:
            raise MetalffError(f"{name} does not hold {symbol} together at {temperature:.0f} K and a volume strain of {strain:g}: {error}") from None
        for j, structure in zip(wanted, drawn):
            structure.info = {"temperature": temperature, "strain": strain, "run": run}
            found[j] = structure
        progress(sum(structure is not None for structure in found))
    return found


def _stretch(potential, chosen: Metal, temperature: float, seed: int) -> np.ndarray:
    """[3] lengths at this temperature and zero pressure, in units of the perfect crystal's."""
    perfect = chosen.supercell()
    simulation = Simulation(potential, perfect, temperature, seed)
    try:
        settle(simulation, chosen, temperature)
        stretch = simulation.lengths() / perfect.cell.lengths()
        if np.prod(stretch) > SWOLLEN:
            raise BlownUp(f"its volume at zero pressure is {np.prod(stretch):.1f} times that of the crystal; it evaporates")
        return stretch
    finally:
        simulation.close()


def _run(potential, chosen: Metal, perfect, temperature: float, stretch, count: int, seed: int) -> list:
    """Structures of one run of the small cell."""
    cell = perfect.copy()
    cell.set_cell(perfect.cell.lengths() * stretch, scale_atoms=True)
    simulation, kept = Simulation(potential, cell, temperature, seed), []
    try:
        if is_liquid(chosen, temperature):
            simulation.thermostat(MELT_AT * temperature)
            simulation.run(simulation.steps(MELT_PS))
        simulation.thermostat(temperature)
        simulation.run(simulation.steps(SETTLE_PS))
        for _ in range(PATIENCE * count):
            simulation.run(simulation.steps(SPACING_PS))
            structure = simulation.frame(temperature, "", "", 0).to_atoms()
            if not len(neighbour_list("d", structure, CLOSE * chosen.nearest_neighbour)):
                kept.append(structure)
            if len(kept) == count:
                return kept
        raise BlownUp(f"atoms come closer than {CLOSE * chosen.nearest_neighbour:.2f} Å most of the time")
    finally:
        simulation.close()
