"""What programs import: a dozen names, also as ``metalff.NAME``; each is a thin door to the room that does the work.

Lengths in Å, energies in eV, forces in eV/Å, stresses in eV/Å³ in ASE's sign, temperatures in K. What a user can mend is a ``MetalffError`` of one
sentence. Nothing here imports more than it needs, and nothing torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metalff.errors import MetalffError

if TYPE_CHECKING:
    from metalff.artifact import Artifact
    from metalff.calculator import MLFFCalculator
    from metalff.data import Dataset
    from metalff.potentials.potential import Potential
    from metalff.report.results import Sweep, Validation
    from metalff.sweep.trajectory import Trajectory
    from metalff.validate.compare import Result

Spec = str | PathLike[str]
"""A name, or the path of a file."""

ELSEWHERE = {"MLFFCalculator": "metalff.calculator", "Potential": "metalff.potentials.potential"}
"""Classes of the interface, and where they are."""

__all__ = [
    "MLFFCalculator",
    "MetalffError",
    "Potential",
    "measure",
    "potential",
    "read_artifact",
    "read_data",
    "read_properties",
    "read_sweep",
    "read_trajectory",
    "read_validation",
    "run_sweep",
    "run_validation",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in ELSEWHERE:
        from importlib import import_module

        return getattr(import_module(ELSEWHERE[name]), name)
    raise AttributeError(f"module 'metalff.api' has no attribute {name!r}")


def potential(name: Spec, elements: str | Sequence[str] | None = None) -> Potential:
    """A force field by its name or file, for LAMMPS and ASE alike.

    Args:
        name: such as ``Cu/eam``, ``Cu/mace``, ``chgnet`` (``metalff potentials list``), or the path of a ``.mlff`` file.
        elements: chemical symbols in the order of the atom types of LAMMPS; all of the potential when None.

    Returns:
        Its label, hash, citation and files, ``calculator()`` for ASE and ``lammps_commands()`` for ``units metal``.

    Raises:
        MetalffError: there is no such potential, or it lacks an element.

    Examples:
        >>> import metalff
        >>> print(*metalff.potential("Cu/poly").lammps_commands(), sep="\\n")  # doctest: +ELLIPSIS
        pair_style mlff
        pair_coeff * * ...Cu-poly.mlff Cu
    """
    from metalff.potentials import resolve

    return resolve(name, [elements] if isinstance(elements, str) else elements)


def measure(
    potentials: Spec | Potential | Sequence[Spec | Potential],
    elements: str | Sequence[str] | None = None,
    measurements: str | Sequence[str] | None = None,
    out: Spec | None = None,
    settings: Mapping[str, float] | None = None,
    progress: Callable[[str, float, float, str], None] | None = None,
    jobs: int = 1,
    retry: bool = False,
) -> dict[str, Any]:
    """Measure properties, as ``metalff properties`` does: lattice, elasticity, defects, phonons, dynamics.

    Args:
        potentials: names, files, templates such as ``{element}/eam``, or ``Potential`` objects; one or several.
        elements: only these; all that a potential and the table of metals know when None.
        measurements: names (``metalff properties --list``), ``cheap`` or ``all``; ``cheap`` when None.
        out: folder that keeps each result as it comes; the same call goes on there. Nothing is written when None.
        settings: those that differ from the defaults, such as ``{"phonon_length": 12}``.
        progress: called with a title, the minutes done, the minutes in all (roughly), and a sentence or ''.
        jobs: potentials side by side.
        retry: measure again what has failed.

    Returns:
        The document ``properties.json``: in ``results`` a row per potential, element and measurement, with ``status`` (done, failed, skipped) and
        ``values`` of name → value, unit and reference.

    Raises:
        MetalffError: a potential, element, measurement or setting is unknown, or the folder cannot be used. What fails while it is measured is a
            result with its ``reason``.

    Examples:
        >>> import metalff
        >>> lattice = metalff.measure("Cu/eam", measurements="lattice", out="properties")["results"][0]
        >>> round(lattice["values"]["a"]["value"], 3), lattice["values"]["a"]["unit"]
        (3.615, 'Å')
    """
    from metalff.properties import measure as measure_all

    return measure_all(potentials, [elements] if isinstance(elements, str) else elements, measurements, out, settings, progress, jobs, retry)


def run_sweep(
    plan: Spec | Mapping[str, Any],
    out: Spec | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    redo: bool = False,
    parsl_config: Spec | None = None,
) -> Sweep:
    """Run a sweep or campaign, or go on with it, as ``metalff sweep run`` does.

    Args:
        plan: a YAML file, whose paths are relative to its folder; the content of one as a dictionary, whose paths are relative to the current
            folder; or the folder of results of an earlier run.
        out: folder of the results; that of the plan when None.
        workers: jobs at a time; those of the plan when None.
        retry_failed: run again what has exploded or lost atoms.
        redo: run again what was run with other inputs.
        parsl_config: Python file that defines Parsl's ``config``; it is executed.

    Returns:
        The folder, as ``read_sweep`` reads it: ``runs`` are finished, ``unfinished`` says why each of the others has no result.

    Raises:
        MetalffError: the plan is not valid, its folder holds something else or is in use, or the disk is full.

    Examples:
        >>> import metalff
        >>> plan = {"element": "Cu", "potentials": ["Cu/eam"], "temperatures": [300], "steps": {"equilibrate": 100, "sample": 100, "drift": 0}}
        >>> sweep = metalff.run_sweep(plan, out="sweep")
        >>> sweep.runs[0].trajectory.positions.shape
        (2, 108, 3)
    """
    from metalff.report.results import read_sweep
    from metalff.sweep.sweep import run_sweep as run

    folder, _ = run(plan, out, workers, (), retry_failed, redo, parsl_config)
    return read_sweep(folder)


def run_validation(
    potentials: Spec | Potential | Sequence[Spec | Potential],
    data: Spec | Dataset,
    out: Spec | None = None,
    block: int | None = None,
    force: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Result]:
    """Errors of potentials against reference energies, forces and stresses, as ``metalff validate`` has them.

    Args:
        potentials: names, ``.mlff`` files, templates such as ``{element}/eam``, one potential for each metal, or ``Potential`` objects.
        data: as ``read_data`` takes it, or what it gave.
        out: folder for ``validate.json``, ``elements.csv``, ``frames.csv``, ``forces.parquet`` and ``parity.png``; nothing is written when None.
        block: consecutive frames that the bootstrap keeps together; chosen by the correlation when None.
        force: replace another validation in the folder.
        progress: called with the name of the potential, the frames done of all potentials, and the frames in all.

    Returns:
        One ``Result`` per potential, in their order: ``overall``, ``by_temperature``, ``by_group``, ``by_element``, each of ``Metrics`` whose numbers
        are estimates with a value and a 95 % interval; ``energy`` [F] eV, ``stress`` [F,6] eV/Å³ and ``errors``, frame by frame. Frames pass by one
        after the other, so that sets need not fit in memory; forces are kept in ``forces.parquet``.

    Raises:
        MetalffError: a potential or the data cannot be read, a potential lacks an element or fails on a frame, or the folder holds something else.

    Examples:
        >>> import metalff
        >>> results = metalff.run_validation(["Cu/poly", "Cu/eam"], "zuo2020-Cu:test[temperature=300]", out="validate")
        >>> [f"{result.overall.force_rmse.value:.3f}" for result in results]
        ['0.006', '0.041']
    """
    from metalff.data import Dataset, stream
    from metalff.paths import check_folder
    from metalff.potentials.per_element import for_elements
    from metalff.potentials.potential import Potential
    from metalff.validate.compare import compare
    from metalff.validate.folder import RECORDED, claim, write
    from metalff.validate.forces import Forces
    from metalff.validate.reference import reference_of
    from metalff.validate.tables import document
    from metalff.versions import versions

    if not isinstance(data, (str, PathLike, Dataset)):
        raise MetalffError(f"data: give what read_data takes or gives, not {type(data).__name__}")
    if out is not None:
        check_folder(Path(out))
    frames = data if isinstance(data, Dataset) else stream(data)
    reference = reference_of(frames)
    chosen = for_elements([potentials] if isinstance(potentials, (str, PathLike, Potential)) else potentials, reference.elements)
    if out is None:
        return compare(chosen, frames, progress, block, reference)
    claim(Path(out), reference, chosen, force)
    with Forces(reference, chosen, out) as forces:
        results = compare(chosen, frames, progress, block, reference, forces)
        claim(Path(out), reference, chosen, force)  # another may have written there meanwhile
        write(Path(out), results, forces, document(results, versions(*RECORDED)))
    return results


def read_data(spec: Spec) -> Dataset:
    """Reference structures with energies, forces and stresses: a bundled set, a file or a folder, or a part of it.

    Args:
        spec: such as ``zuo2020-Cu``, ``zuo2020-Cu:test``, ``frames.extxyz``, ``OUTCAR``, ``frames.extxyz[temperature=300,frames=0:100]``
            (docs/data.md).

    Returns:
        Frames with ``numbers`` [N], ``positions`` [N,3] Å, ``cell`` [3,3] Å, ``energy`` eV, ``forces`` [N,3] eV/Å, ``stress`` [3,3] eV/Å³ or None.

    Raises:
        MetalffError: neither a set nor a file, no format that is known, a bad file, or a selection that leaves nothing.

    Examples:
        >>> import metalff
        >>> data = metalff.read_data("zuo2020-Cu:test")
        >>> len(data), data.elements, data.frames[0].forces.shape
        (31, ['Cu'], (107, 3))
    """
    from metalff.data import read

    return read(spec)


def read_trajectory(path: Spec) -> Trajectory:
    """``trajectory.h5`` of a run of ``metalff sweep``, checked.

    Returns:
        Arrays of F frames and N atoms: ``positions`` [F,N,3] Å, unwrapped; ``velocities`` [F,N,3] Å/ps; ``forces`` [F,N,3] eV/Å; ``cell`` [F,3,3] Å;
        ``energy`` [F] eV; ``temperature`` [F] K; ``time_ps`` [F].

    Raises:
        MetalffError: the file is missing, truncated, of another schema, or its arrays are wrong.

    Examples:
        >>> import metalff
        >>> metalff.read_trajectory("sweep/Cu-eam/300K/trajectory.h5").forces.shape
        (2, 108, 3)
    """
    from metalff.sweep.trajectory import read_trajectory as read

    return read(path)


def read_sweep(folder: Spec) -> Sweep:
    """The folder of a sweep or campaign.

    Returns:
        ``record`` (``sweep.json``); ``runs``, each with ``element``, ``potential``, ``temperature``, ``thermo`` (a pandas table) and ``trajectory``;
        ``unfinished``, each with ``status`` and ``sentence``.

    Raises:
        MetalffError: there is none, or a file is damaged, of another schema, or not the one that was recorded.

    Examples:
        >>> import metalff
        >>> [(run.potential, run.temperature) for run in metalff.read_sweep("sweep").runs]
        [('Cu-eam', 300.0)]
    """
    from metalff.report.results import read_sweep as read

    return read(Path(folder))


def read_validation(folder: Spec) -> Validation:
    """The folder of a validation.

    Returns:
        ``document`` (``validate.json``), ``frames`` (a pandas table, one line per frame and potential), and ``forces(name)``: of a potential the
        reference and the prediction, both [n,3] eV/Å, and the numbers of their frames [n].

    Raises:
        MetalffError: there is none, or a file is damaged or of another schema.

    Examples:
        >>> import metalff
        >>> metalff.read_validation("validate").document["dataset"]["frames"]
        3
    """
    from metalff.report.results import read_validation as read

    return read(Path(folder))


def read_properties(folder: Spec) -> dict[str, Any]:
    """``properties.json`` of a folder of ``measure`` or ``metalff properties``, as ``measure`` returns it.

    Raises:
        MetalffError: there is none, it is damaged, or of another version.

    Examples:
        >>> import metalff
        >>> [row["measurement"] for row in metalff.read_properties("properties")["results"]]
        ['lattice']
    """
    from metalff.properties import read_properties as read

    return read(folder)


def read_artifact(path: Spec) -> Artifact:
    """A ``.mlff`` file or bundled model, with the hash of every payload checked; no program in it is run.

    Returns:
        ``path``, ``sha256`` and ``manifest``: family, elements, cutoff (Å), layers, training data and errors, citation, licence, payloads.

    Raises:
        MetalffError: what is wrong with the file.

    Examples:
        >>> import metalff
        >>> manifest = metalff.read_artifact("Cu/mace").manifest
        >>> manifest.family, manifest.elements, manifest.r_max
        ('mace', ['Cu'], 5.0)
    """
    from metalff.artifact import open_artifact
    from metalff.engines import model_file

    return open_artifact(model_file(path))


def write_report(folders: Spec | Sequence[Spec], out: Spec, title: str = "") -> Path:
    """One HTML file about folders of results, which loads nothing from a network.

    Args:
        folders: of sweeps, validations, properties and trainings, or of such folders.
        out: the file.
        title: heading of the page; made of the results when ''.

    Returns:
        The file.

    Raises:
        MetalffError: a folder is none of these or is damaged, or ``out`` is a folder.

    Examples:
        >>> import metalff
        >>> metalff.write_report(["sweep", "validate"], "report.html")
        PosixPath('report.html')
    """
    from metalff.report.page import write_report as write

    return write([folders] if isinstance(folders, (str, PathLike)) else folders, out, title)
