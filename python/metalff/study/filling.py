"""Is the Fermi surface what is hard? One tight-binding model at many fillings and electronic temperatures, learnt from the same frames.

Frames of a crystal are drawn by molecular dynamics with an EAM, at four temperatures, from runs of their own for training and for testing. The d-band model
labels all of them at every dose: frames, hopping and repulsion are the same, only how many electrons fill the band, and how sharply, differs. The same
models learn each dose.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metalff.data import Dataset, Frame, layout
from metalff.data.metals import metal
from metalff.dft.structures import draw
from metalff.fermi import levels, paths, roughness, surface
from metalff.paths import atomic_write
from metalff.potentials import resolve
from metalff.study import together
from metalff.study.trial import Trial
from metalff.synth import doses
from metalff.synth.relabel import relabelled
from metalff.synth.tight_binding import KT, Dose, k_mesh, model, primitive_cell

FILLINGS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
"""d electrons per atom."""

WIDTHS = (0.1, 0.2, 0.5)
"""kT, eV."""

METALS = {"Nb": 54, "Pd": 32}
"""A bcc and an fcc crystal: atoms of their cells."""

K_DENSITY = 5.5
"""Å: 4 points along the edge of the cell of 54 atoms, 5 along that of 32."""

REFERENCE = 2
"""Points more along each axis, against which the error of the mesh is measured."""

PARTS = {"train": 1, "test": 2}
"""Seeds of the molecular dynamics."""


@dataclass(frozen=True)
class Plan:
    """What is studied.

    Attributes:
        metals: of ``METALS``.
        fillings: d electrons per atom.
        widths: kT, eV.
        frames: for training; half as many for testing.
        seeds: of the trainings.
    """

    metals: tuple[str, ...] = tuple(METALS)
    fillings: tuple[float, ...] = FILLINGS
    widths: tuple[float, ...] = WIDTHS
    frames: int = 48
    seeds: tuple[int, ...] = (1, 2, 3)

    def count(self, part: str) -> int:
        return self.frames if part == "train" else self.frames // 2


def dose_name(symbol: str, filling: float, width: float) -> str:
    return f"{symbol}/tb[filling={filling:g},kT={width:g},k={K_DENSITY:g}]"


def names_of(symbol: str, plan: Plan) -> list[str]:
    """Doses of a metal."""
    return [dose_name(symbol, filling, width) for width in plan.widths for filling in plan.fillings]


def data_folder(out: Path, symbol: str, name: str, part: str, plan: Plan) -> Path:
    """Where the frames of one part have the labels of a potential."""
    return doses.folder_of(name, Path(out) / "data" / symbol / f"{part}-{plan.count(part)}")


def draw_frames(symbol: str, part: str, out: Path, plan: Plan) -> Path:
    """Frames of one part with the labels of the EAM that moves them, in the layout; kept where they are there already.

    Raises:
        MetalffError: the folder holds other frames.
    """
    mover = doses.mover(symbol)
    folder, potential, crystal = data_folder(out, symbol, mover, part, plan), resolve(mover, [symbol]), metal(symbol).crystal
    made = {"element": symbol, "lattice": crystal, "potential": potential.record()}
    made["settings"] = {"atoms": METALS[symbol], "frames": plan.count(part), "seed": PARTS[part]}
    found = layout.manifest(folder) if folder.exists() else {}
    if all(found.get(key) == value for key, value in made.items()):
        return folder
    drawn = {}
    for k, atoms in enumerate(draw(symbol, mover, METALS[symbol], plan.count(part), strains=(0.0,), seed=PARTS[part])):
        temperature = atoms.info["temperature"]
        drawn.setdefault(temperature, []).append(
            Frame(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, 0.0, np.zeros((len(atoms), 3)), temperature=temperature, index=k)
        )
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for temperature, frames in drawn.items():
        file = layout.file_name(symbol, crystal, temperature)
        layout.write_file(relabelled(Dataset(symbol, tuple(frames)), potential), folder / file)
        files[file] = {"temperature": temperature, "frames": len(frames)}
    citation = f"frames and labels of {potential.label}: {potential.citation}"
    layout.write_manifest(folder, made | {"files": files, "citation": citation})
    return folder


def make_data(symbol: str, out: Path, plan: Plan, progress=lambda done, total: None, go_on=lambda: True) -> bool:
    """Frames of a metal with the labels of all doses, and the error of their mesh; what is there already is kept.

    Args:
        progress: called with the number of structures labelled, and of all.
        go_on: False ends it after the file that has begun.
    Returns:
        whether all are there.
    """
    total, before = sum(plan.count(part) for part in PARTS), 0
    for part in PARTS:
        folder = draw_frames(symbol, part, out, plan)
        done = {}

        def told(file, count, frames):
            done[file] = count
            progress(before + sum(done.values()), total)

        if not doses.label(folder, names_of(symbol, plan), folder.parent, told, go_on):
            return False
        before += plan.count(part)
    return mesh_errors(symbol, out, plan) is not None


def kept_rows(path: Path, names: list[str]) -> list[dict] | None:
    """What was computed for these labels; None where it was not, or is damaged."""
    try:
        found = json.loads(path.read_text("utf-8"))
        return list(found["rows"]) if found["names"] == names else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def mesh_errors(symbol: str, out: Path, plan: Plan) -> list[dict]:
    """Of each dose the RMS difference of forces (eV/Å) between the mesh that labels and one of ``REFERENCE`` more points along each axis, and of one point
    fewer, over one frame of each temperature of the test part; kept in ``mesh.json``."""
    path = Path(out) / "data" / symbol / "mesh.json"
    names = names_of(symbol, plan)
    if (rows := kept_rows(path, names)) is not None:
        return rows
    folder = data_folder(out, symbol, doses.mover(symbol), "test", plan)
    asked = [Dose(filling, width) for width in plan.widths for filling in plan.fillings]
    squares = {}
    for file in layout.files(folder):
        atoms = layout.read_file(file).frames[0].to_atoms()
        mesh = k_mesh(atoms, K_DENSITY)
        forces = {}
        for more in (-1, 0, REFERENCE):
            forces[more] = np.array([label.forces for label in model(symbol).labels(atoms, asked, tuple(n + more for n in mesh))])
        for more in (-1, 0):
            squares.setdefault(more, []).append(((forces[more] - forces[REFERENCE]) ** 2).mean(axis=(1, 2)))
    fewer, own = (np.array(squares[more]) for more in (-1, 0))
    rows = [
        {
            "metal": symbol,
            "filling": dose.filling,
            "kT": dose.kT,
            "mesh": "×".join(map(str, mesh)),
            "frames": len(own),
            "mesh_error": float(np.sqrt(own[:, k].mean())),
            "mesh_error_worst": float(np.sqrt(own[:, k].max())),
            "mesh_error_coarser": float(np.sqrt(fewer[:, k].mean())),
        }
        for k, dose in enumerate(asked)
    ]
    with atomic_write(path) as stream:
        json.dump({"names": names, "rows": rows}, stream, indent=1)
    return rows


def make_all(out: Path, plan: Plan, bar, go_on=lambda: True) -> bool:
    """Data of all metals, one after the other, told to a bar; returns whether all are there."""
    start, labelled = time.monotonic(), 0
    total = len(plan.metals) * sum(plan.count(part) for part in PARTS)
    for number, symbol in enumerate(plan.metals):
        first = number * total // len(plan.metals)

        def told(done, _):
            nonlocal labelled
            labelled = first + done
            bar.update(f"labels of {symbol}", labelled, total, (time.monotonic() - start) / labelled * (total - labelled))

        if not make_data(symbol, out, plan, told, go_on):
            bar.line(f"the budget is spent; {labelled} of {total} structures are labelled; the same command goes on")
            return False
    return True


REACH = 2.4
"""Cutoff of the models, in distances of nearest neighbours; hopping ends at 1.9 (fcc) or 1.93 (bcc)."""

DEGREES = ([8, 8], [10, 9, 9], [12, 10, 10], [14, 12, 12], [16, 14, 13], [14, 12, 12, 11])
"""Polynomials of the capacity curve, of 38, 112, 165, 344, 507 and 501 functions: ``degree`` of each."""

MAIN = 3
"""The one that learns all doses."""

CUTOFF_POWER = 6
"""Of the polynomials; 3 and 4 are worse on palladium."""

CAPACITY_FILLINGS = (2.0, 5.0, 8.0)
"""Fillings of the capacity curve."""

EPOCHS = 20
"""Of a NEP with all frames."""

LEARNT_EAM = ("poly", "nep")
"""Families that learn the labels of the EAM, too."""

NEP_FILLINGS = (2.0, 5.0, 8.0)
"""Fillings that a NEP learns."""

ENDS = (0.1, 0.5)
"""kT (eV) of the NEP, of the learning curves and of the capacity curve."""

PARTS_OF_FRAMES = (1 / 4, 1 / 2)
"""Of the learning curves, beside all frames."""


def settings(symbol: str, family: str, degree=None) -> dict:
    """The configuration of a family for a metal: the same for all doses; between metals cutoffs go with the distance of nearest neighbours."""
    d = metal(symbol).nearest_neighbour
    if family == "poly":
        return {"r_max": round(REACH * d, 3), "cutoff_power": CUTOFF_POWER, "degree": [float(n) for n in degree or DEGREES[MAIN]]}
    own = {"n_max": [5, 5], "basis_size": [8, 8], "l_max": [4, 2, 1], "neuron": 30, "max_epochs": EPOCHS}
    return {"r_max": round(REACH * d, 3), "r_max_angular": round(2.0 * d, 3)} | own


def trials(out: Path, plan: Plan) -> list[Trial]:
    """All trainings, the most important first; one that belongs to several questions is listed for each."""
    found = []

    def add(section, symbol, family, name, words, seed=1, frames=None, degree=None):
        labels = {"section": section, "metal": symbol, "label": name.partition("/")[2], **words}
        files = [(str(data_folder(out, symbol, name, part, plan)),) for part in PARTS]
        found.append(Trial(family, settings(symbol, family, degree), *files, seed, frames, labels))

    def each(fillings, widths):
        for symbol in plan.metals:
            for width in widths:
                for filling in fillings:
                    if filling in plan.fillings and width in plan.widths:
                        yield symbol, dose_name(symbol, filling, width), {"filling": filling, "kT": width}

    def all_doses(seed):
        for symbol, name, words in each(plan.fillings, plan.widths):
            add("doses", symbol, "poly", name, words, seed)

    def nep(seed):
        for filling in NEP_FILLINGS:
            for symbol, name, words in each((filling,), ENDS):
                add("doses", symbol, "nep", name, words, seed)

    def eam(seed):
        for family in LEARNT_EAM:
            for symbol in plan.metals:
                add("eam", symbol, family, doses.mover(symbol), {}, seed)

    all_doses(plan.seeds[0])
    nep(plan.seeds[0])
    eam(plan.seeds[0])
    for symbol, name, words in each(plan.fillings, ENDS):
        for part in (*PARTS_OF_FRAMES, None):
            add("frames", symbol, "poly", name, words, frames=None if part is None else round(part * plan.frames))
    for degree in DEGREES:
        for symbol, name, words in each(CAPACITY_FILLINGS, ENDS):
            add("capacity", symbol, "poly", name, words | {"degree": " ".join(map(str, degree))}, degree=degree)
    for seed in plan.seeds[1:]:
        all_doses(seed)
        nep(seed)
        eam(seed)
    return found


def fit_all(trials: list[Trial], record, work: Path, bar, go_on=lambda: True) -> bool:
    """The polynomials that the record does not have, all doses of a crystal together; returns whether all are there."""
    todo = {trial.key: trial for trial in trials if trial.family == "poly" and trial.key not in record.trials}
    begin, total, done = time.monotonic(), len(todo), 0

    def keep(trial, row):
        nonlocal done
        done += 1
        record.trials[trial.key] = row | {"groups": {}}  # frames of one group, which says what the whole does
        bar.update(trial.title, done, total, (time.monotonic() - begin) / done * (total - done))

    for group in together.groups(list(todo.values())):
        if not go_on():
            return False
        together.fitted(group, work, keep)
        record.write()
    return True


SURFACE_MESH = 32
"""Points along each axis of the mesh of the Fermi surface and the density of states."""

SURFACE = ("area_reduced", "sheets", "sphericity", "curvature_reduced", "velocity", "complexity")
"""Of ``fermi.surface.measures``."""

PATH_MESHES = (24, 20)
"""Points along each axis of the primitive cell, for the energies along paths and for their mesh error."""

PATHS = ("tetragonal", "trigonal", "phonon", "thermal")
"""Of ``fermi.paths``."""


def indicators(symbol: str, out: Path, plan: Plan, told=lambda what: None) -> list[dict]:
    """Of each dose what the perfect crystal of the same model is like, kept in ``indicators.json``.

    Returns:
        rows with ``metal``, ``filling``, ``kT``; ``dos``: at the Fermi level, broadened by kT, states (both spins) per eV and atom; ``SURFACE`` of the Fermi
        surface at the level of kT = 0.1 eV; for each of ``PATHS`` ``rough_<path>``: what a polynomial of sixth order leaves of the free energy (meV/atom),
        ``relative_<path>``: that by its curved part, ``mesh_<path>``: the mesh error of the first, ``converged_<path>``.
    """
    path = Path(out) / "data" / symbol / "indicators.json"
    names = names_of(symbol, plan)
    if (rows := kept_rows(path, names)) is not None:
        return rows
    asked, band, atoms = [Dose(f, w) for w in plan.widths for f in plan.fillings], model(symbol), primitive_cell(symbol)
    told(f"Fermi surface of {symbol}")
    energies = band.eigenvalues(atoms, (SURFACE_MESH,) * 3)
    reciprocal = 2 * np.pi * atoms.cell.reciprocal().array
    surfaces = {}
    for filling in plan.fillings:
        found = surface.measures(energies, levels.fermi_level(energies, None, filling * len(atoms), KT), reciprocal)
        surfaces[filling] = {key: found[key] for key in SURFACE}
    rows = []
    for dose in asked:
        level = levels.fermi_level(energies, None, dose.filling * len(atoms), dose.kT)
        row = {"metal": symbol, "filling": dose.filling, "kT": dose.kT, "fermi_level": level}
        row["dos"] = levels.density_of_states(energies, None, level, dose.kT) / len(atoms)
        rows.append(row | surfaces[dose.filling])
    for name in PATHS:
        told(f"{name} path of {symbol}")
        line = paths.path(symbol, name)
        structures = line.atoms()
        curves = [
            np.array([[x.energy / len(s) for x in band.labels(s, asked, mesh, gradients=False)] for s in structures]).T
            for mesh in paths.meshes(structures[0], PATH_MESHES)
        ]
        for row, energy, other in zip(rows, *curves, strict=True):
            sides = [roughness.mirrored(line.parameter, e) if line.even else (line.parameter, e) for e in (energy, other)]
            found = roughness.compare(sides[0][0], sides[0][1], sides[1][1])
            row |= {f"rough_{name}": found.roughness.residual, f"relative_{name}": found.roughness.relative}
            row |= {f"mesh_{name}": found.mesh_error, f"converged_{name}": found.converged}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        json.dump({"names": names, "rows": rows}, stream, indent=1)
    return rows
