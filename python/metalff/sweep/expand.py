"""A plan → its jobs, and what cannot be one."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

from ase.data import atomic_masses, atomic_numbers

from metalff.data.metals import metals
from metalff.errors import MetalffError
from metalff.paths import shared
from metalff.potentials import Potential, resolve
from metalff.potentials.per_element import FIELD
from metalff.sweep.plan import Coexistence, Of, Plan, Ramp, Strain, block, number
from metalff.sweep.temperatures import kelvin, of_data

MD = ("md", "ramp", "strain", "coexistence")
"""Kinds of molecular dynamics: each is one script of ``lammps_inputs`` and makes a trajectory."""

KINDS = (*MD, "properties", "errors")

SCRIPTS = {"md": "in.sweep", "ramp": "in.ramp", "strain": "in.strain", "coexistence": "in.coexistence"}

IN_ASE = ("md", "ramp", "properties", "errors")
"""What the engine of ASE can do."""

MELT_STEPS = {"steps_npt": 0.3, "steps_melt": 0.5, "steps_settle": 0.2}
"""Parts of the preparation of a coexistence."""

RATE_DIGITS = 6


@dataclass(frozen=True)
class Job:
    """One run, or one set of measurements, of one potential.

    Attributes:
        id: also its folder below the output folder, ``Cu/Cu-eam/300K``.
        kind: of ``KINDS``.
        spec: of the potential, as ``resolve`` takes it from any folder.
        temperature: K, that of the beginning; None where there is none.
        target: K, the hottest that is aimed at.
        engine: ``lammps``, ``ase`` or ``python``.
        atoms: in the cell; 0 where there is none.
        variables: of the script, with the values as words.
        stages: last step of each stage on one counter.
        frames: stage in which frames are written.
        settings: of measurements and errors; JSON types only.
        versions: of what computes the numbers.
    """

    id: str
    kind: str
    label: str
    element: str
    potential: Potential
    spec: str
    temperature: float | None
    target: float | None
    seed: int | None
    engine: str
    atoms: int = 0
    variables: dict[str, str] = field(default_factory=dict)
    stages: dict[str, int] = field(default_factory=dict)
    frames: str = ""
    settings: dict = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    neighbour_distance: float = 0.0

    @property
    def steps(self) -> int:
        """The last step."""
        return max(self.stages.values(), default=0)

    @property
    def folder_name(self) -> str:
        """Of the potential."""
        return self.potential.folder

    @property
    def inputs(self) -> dict:
        """All that decides the numbers; JSON types only."""
        name = self.potential.name if not self.potential.in_lammps else ""
        return {
            "kind": self.kind,
            "element": self.element,
            "engine": self.engine,
            "potential": f"{name} {self.potential.sha256}".strip(),
            "script": script_hash(self.kind) if self.engine == "lammps" else "",
            "parameters": self.variables,
            "settings": self.settings,
            "versions": self.versions,
        }

    @property
    def hash(self) -> str:
        """sha256 of the canonical JSON of ``inputs``: two jobs with the same one have the same results."""
        return hashlib.sha256(json.dumps(self.inputs, sort_keys=True).encode()).hexdigest()

    def record(self) -> dict:
        """What ``sweep.json`` says of the job itself."""
        own = {name: getattr(self, name) for name in ("element", "kind", "label", "temperature", "seed", "engine", "hash")}
        return own | {"potential": self.folder_name}


@dataclass(frozen=True)
class Skipped:
    """A potential that cannot run for a metal, or a kind of run that it cannot do."""

    element: str
    potential: str
    reason: str

    def record(self) -> dict:
        return asdict(self)


@lru_cache
def script_hash(kind: str) -> str:
    return hashlib.sha256(shared("lammps_inputs", SCRIPTS[kind]).read_bytes()).hexdigest()


def jobs(plan: Plan, folder) -> list[Job]:
    """``expand`` for those who do not ask what is skipped."""
    return expand(plan, folder)[0]


def expand(plan: Plan, folder) -> tuple[list[Job], list[Skipped]]:
    """All jobs of a plan, metal by metal and potential by potential, and what is skipped.

    Args:
        folder: what paths of files are relative to.
    Raises:
        MetalffError: a potential is unknown or damaged, two of them would share a folder, or there is nothing left to run. In a plan of one metal
            nothing is skipped: a potential that lacks it is refused.
    """
    return _Expansion(plan, Path(folder)).all()


class _Expansion:
    def __init__(self, plan: Plan, folder: Path):
        self.plan, self.folder = plan, folder
        self.found: dict[str, Job] = {}
        self.skipped: list[Skipped] = []
        self.names: dict[tuple[str, str], str] = {}

    def all(self) -> tuple[list[Job], list[Skipped]]:
        self._refuse_unknown()
        for element in self.plan.metals:
            for spec in self.plan.potentials:
                if (potential := self._potential(spec, element)) is not None:
                    self._jobs(element, self._absolute(spec).replace(FIELD, element), potential)
        if not self.found:
            reason = f" ({self.skipped[0].element}: {self.skipped[0].reason})" if self.skipped else ""
            raise MetalffError(f"nothing is left to run{reason}")
        return list(self.found.values()), self.skipped

    def _absolute(self, spec: str) -> str:
        return str((self.folder / spec).absolute()) if spec.endswith(".mlff") else spec

    def _refuse_unknown(self) -> None:
        """A name that is none for any metal is a mistake, not a potential that lacks one."""
        for spec in self.plan.potentials:
            if FIELD in spec:
                tried = {}
                for element in self.plan.metals:
                    try:
                        resolve(self._absolute(spec).replace(FIELD, element), [element])
                        break
                    except MetalffError as error:
                        tried[element] = error
                else:
                    element, error = next(iter(tried.items()))
                    raise MetalffError(f"{spec}: none of {' '.join(tried)} has such a potential ({element}: {error})")
            else:
                resolve(self._absolute(spec))

    def _potential(self, spec: str, element: str) -> Potential | None:
        try:
            potential = resolve(self._absolute(spec).replace(FIELD, element), [element])
        except MetalffError as error:
            if self.plan.element is not None:
                raise
            self.skipped.append(Skipped(element, spec, str(error)))
            return None
        if (name := potential.folder) in ("", ".", ".."):
            raise MetalffError(f"{spec} gives the runs a folder called '{name}'; rename the file")
        if self.names.setdefault((element, name), spec) != spec:
            raise MetalffError(f"{spec} and another potential are both called {name}; rename the file or leave one out")
        return potential

    def _skip(self, element: str, potential: Potential, reason: str) -> None:
        self.skipped.append(Skipped(element, potential.name, reason))

    def _jobs(self, element: str, spec: str, potential: Potential) -> None:
        plan = self.plan
        engine = "ase" if plan.engine == "ase" or (plan.engine == "auto" and not potential.in_lammps) else "lammps"
        if engine == "lammps" and not potential.in_lammps:
            self._skip(element, potential, "it runs in ASE only; engine: auto or ase runs it there")
            return
        base = _Base(plan, element, spec, potential, engine)
        for value in plan.temperatures:
            for kelvins in of_data(value.source, element) if isinstance(value, Of) else [kelvin(value, element)]:
                for ensemble in plan.ensembles:
                    self._each(base, lambda cell, seed: base.md(kelvins, ensemble, cell, seed))
        for ramp in plan.ramps:
            self._each(base, lambda cell, seed: base.ramp(ramp, cell, seed))
        for kind, chosen in (("strain", plan.strains), ("coexistence", [plan.coexistence] if plan.coexistence else [])):
            if chosen and engine == "ase":
                self._skip(element, potential, f"it runs in ASE, and {kind} runs need LAMMPS")
                continue
            for one in chosen:
                if kind == "strain":
                    self._each(base, lambda cell, seed: base.strain(one, cell, seed))
                else:
                    for seed in plan.all_seeds:
                        self._add(base.coexistence(one, seed))
        if plan.properties:
            if element in metals():
                self._add(base.properties())
            else:
                self._skip(element, potential, f"{element} is not in the table of metals, which properties need")
        if plan.data is not None:
            try:
                self._add(base.errors())
            except MetalffError as error:
                if plan.element is not None:
                    raise
                self._skip(element, potential, str(error))

    def _each(self, base, make) -> None:
        for cell in self.plan.blocks(base.lattice):
            for seed in self.plan.all_seeds:
                self._add(make(cell, seed))

    def _add(self, job: Job) -> None:
        """Once: a temperature may be there as a number and as that of a set."""
        self.found.setdefault(job.id, job)


class _Base:
    """What jobs of one metal and potential have in common."""

    def __init__(self, plan: Plan, element: str, spec: str, potential: Potential, engine: str):
        self.plan, self.element, self.spec, self.potential, self.engine = plan, element, spec, potential, engine
        self.lattice, self.a0 = plan.crystal_of(element)
        self.timestep = plan.timestep_of(element)

    @property
    def name(self) -> str:
        """Short, for labels: ``eam``."""
        return self.potential.folder.removeprefix(f"{self.element}-")

    def _id(self, *words: str) -> str:
        where = self.potential.folder if self.plan.element is not None else f"{self.element}/{self.potential.folder}"
        return f"{where}/{'-'.join(filter(None, words))}"

    def _suffixes(self, cell, seed: int) -> list[str]:
        """The first cell and seed of a plan have none, so that a longer list keeps the names of a shorter one."""
        blocks = self.plan.blocks(self.lattice)
        return [
            "" if cell is None or cell == blocks[0] else "x".join(map(str, cell)),
            "" if seed == self.plan.all_seeds[0] else f"s{seed}",
        ]

    def _run(self, kind: str, what: list[str], temperature: float, target: float, cell, seed: int, own: dict, stages: dict, frames: str) -> Job:
        mass = self.plan.mass or atomic_masses[atomic_numbers[self.element]]
        named = None if kind == "coexistence" else cell
        values = {
            "element": self.element,
            "mass": mass,
            "lattice": self.lattice,
            "a0": self.a0,
            **dict(zip(("nx", "ny", "nz"), cell, strict=True)),
            **({} if kind == "coexistence" else {"barostat": "aniso" if self.lattice == "hcp" else "iso"}),
            "T": temperature,
            "timestep": self.timestep,
            "seed": seed,
            **own,
            "thermo_interval": self.plan.thermo_interval,
            "dump_interval": self.plan.dump_interval,
            "restart_interval": self.plan.restart_interval,
        }
        suffixes = self._suffixes(named, seed)
        return Job(
            id=self._id(*what, *suffixes),
            kind=kind,
            label=" ".join(filter(None, [self.element, self.name, *what, *suffixes])).replace("K", " K")
            if kind != "md"
            else self._label(what, suffixes),
            element=self.element,
            potential=self.potential,
            spec=self.spec,
            temperature=temperature,
            target=target,
            seed=seed,
            engine=self.engine,
            atoms=_atoms(self.lattice, cell),
            variables={key: number(float(value)) if isinstance(value, float) else str(value) for key, value in values.items()},
            stages=stages,
            frames=frames,
            versions=engine_versions(self.plan, self.potential, self.engine),
            neighbour_distance=_neighbours(self.lattice) * self.a0,
        )

    def _label(self, what: list[str], suffixes: list[str]) -> str:
        kelvins, *rest = what
        return " ".join(filter(None, [self.element, self.name, f"{kelvins.removesuffix('K')} K", *rest, *suffixes]))

    def md(self, temperature: float, ensemble: str, cell, seed: int) -> Job:
        steps = self.plan.steps
        ends = {"equilibrate": steps.equilibrate, "sample": steps.equilibrate + steps.sample}
        ends["drift"] = ends["sample"] + steps.drift
        own = {"ensemble": ensemble.lower(), "steps_npt": steps.equilibrate, "steps_nvt": steps.sample, "steps_nve": steps.drift}
        words = [f"{number(temperature)}K", "" if ensemble == self.plan.ensembles[0] else ensemble]
        return self._run("md", words, temperature, temperature, cell, seed, own, ends, "sample")

    def ramp(self, ramp: Ramp, cell, seed: int) -> Job:
        start, end = kelvin(ramp.start, self.element), kelvin(ramp.to, self.element)
        if start == end:
            raise MetalffError(f"a ramp of {self.element} from {start:g} K to {end:g} K is none; give two temperatures that differ")
        steps = max(self.plan.dump_interval, round(abs(end - start) / ramp.rate / (self.timestep / 1000)))
        before = self.plan.steps.equilibrate
        own = {"T_end": end, "steps_npt": before, "steps_ramp": steps}
        several = [one for one in self.plan.ramps if (one.start, one.to) == (ramp.start, ramp.to)]
        words = ["ramp", f"{number(start)}K", f"{number(end)}K", "" if ramp == several[0] else f"{number(ramp.rate)}Kps"]
        return self._run("ramp", words, start, max(start, end), cell, seed, own, {"equilibrate": before, "ramp": before + steps}, "ramp")

    def strain(self, strain: Strain, cell, seed: int) -> Job:
        temperature = kelvin(strain.temperature, self.element)
        steps = max(self.plan.dump_interval, round(abs(strain.to) / strain.rate / (self.timestep / 1000)))
        before = self.plan.steps.equilibrate
        own = {"direction": strain.direction, "strain": strain.to, "steps_npt": before, "steps_strain": steps}
        same = [one for one in self.plan.strains if (one.direction, one.to, one.temperature) == (strain.direction, strain.to, strain.temperature)]
        rate = "" if strain == same[0] else f"{number(strain.rate)}ps"
        words = ["strain", strain.direction, number(strain.to), f"{number(temperature)}K", rate]
        return self._run("strain", words, temperature, temperature, cell, seed, own, {"equilibrate": before, "strain": before + steps}, "strain")

    def coexistence(self, chosen: Coexistence, seed: int) -> Job:
        temperature, cell = kelvin(chosen.temperature, self.element), block(self.lattice, chosen.atoms, slender=4)
        before = {name: round(part * chosen.prepare) for name, part in MELT_STEPS.items()}
        ends = {"equilibrate": before["steps_npt"]}
        ends["melt"] = ends["equilibrate"] + before["steps_melt"]
        ends["settle"] = ends["melt"] + before["steps_settle"]
        ends["sample"] = ends["settle"] + chosen.steps
        words = ["coexistence", f"{number(temperature)}K"]
        return self._run("coexistence", words, temperature, temperature, cell, seed, before | {"steps_nph": chosen.steps}, ends, "sample")

    def _other(self, kind: str, settings: dict) -> Job:
        versions = engine_versions(self.plan, self.potential, "python")
        label = f"{self.element} {self.name} {kind}"
        return Job(
            self._id(kind), kind, label, self.element, self.potential, self.spec, None, None, None, "python", settings=settings, versions=versions
        )

    def properties(self) -> Job:
        from metalff.properties.registry import select

        chosen = {one.name: one.version for one in select(self.plan.properties)}
        return self._other("properties", {"measurements": chosen, "settings": self.plan.settings})

    def errors(self) -> Job:
        from metalff.sweep.reference import data_key, data_spec

        spec = data_spec(self.plan.data, self.element)
        return self._other("errors", {"data": spec, "data_key": data_key(spec)})


def _atoms(lattice: str, cell) -> int:
    from metalff.sweep.plan import BASIS

    return BASIS[lattice] * cell[0] * cell[1] * cell[2]


def _neighbours(lattice: str) -> float:
    from metalff.sweep.plan import NEIGHBOURS

    return NEIGHBOURS[lattice]


def engine_versions(plan: Plan, potential: Potential, engine: str) -> dict[str, str]:
    """Of what computes the numbers of a job: LAMMPS and, for models of MetalFF, its engine; ASE and MetalFF elsewhere."""
    from metalff.sweep.machine import lammps_version
    from metalff.versions import versions

    if engine == "lammps":
        own = {"lammps": lammps_version(plan.lmp)}
        return own | versions() if potential.kind == "mlff" else own
    if engine == "ase":
        return versions("ase")
    return versions()
