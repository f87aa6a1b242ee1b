"""Folders of a campaign of 43 metals × 4 models × 4 temperatures, written by the library's own functions from random arrays."""

import hashlib
import json

import numpy as np
import pandas
from ase.calculators.calculator import Calculator
from ase.stress import full_3x3_to_voigt_6_stress

from metalff.data.frame import Dataset, Frame
from metalff.data.metals import metals
from metalff.potentials.per_element import PerElement
from metalff.potentials.potential import Potential
from metalff.sweep.runs import THERMO
from metalff.sweep.trajectory import Trajectory, write_trajectory
from metalff.validate.compare import compare
from metalff.validate.folder import write
from metalff.validate.forces import Forces
from metalff.validate.reference import reference_of
from metalff.validate.tables import document

METALS = ("Li Na K Rb Cs Be Mg Ca Sr Ba Sc Y Ti Zr Hf V Nb Ta Cr Mo W Re Fe Ru Os Co Rh Ir Ni Pd Pt Cu Ag Au Zn Cd Al Ga In Tl Sn Pb La").split()
MODELS = {"mace": ("mlff", 0.06, 4e3), "nep": ("mlff", 0.12, 1.5e5), "eam": ("eam", 0.35, 9e5), "meam": ("meam", 0.28, 6e4)}
"""Kind, error in units of the RMS force, speed."""

SHARES = (0.25, 0.5, 0.75, 1.2)
"""Of the melting temperature."""


def temperatures(symbol: str) -> list[float]:
    return [round(share * metals()[symbol].melting_temperature) + 0.0 for share in SHARES]


def potential(model: str, symbol: str) -> Potential:
    digest = hashlib.sha256(f"{model} {symbol}".encode()).hexdigest()
    kind = MODELS[model][0]
    name = f"{symbol}-{model}.mlff" if kind == "mlff" else f"{symbol}/{model}"
    return Potential(name, kind, f"{symbol}-{model}", (symbol,), (), digest, "zero 5.0", ("* *",), "A. Author, A Journal 1, 1 (2026)")


def jitter(rng, symbol: str, temperature: float, frames: int, model: str):
    """Positions [F,N,3] and the cell of a crystal, or above melting of atoms that have left their sites."""
    metal = metals()[symbol]
    atoms = metal.supercell()
    melted = temperature > metal.melting_temperature
    size = (0.22 if melted else 0.05 * np.sqrt(temperature / metal.melting_temperature)) * metal.nearest_neighbour
    shift = np.cumsum(rng.normal(0, size / 2, (frames, len(atoms), 3)), axis=0) if melted else rng.normal(0, size, (frames, len(atoms), 3))
    return atoms.positions + shift, np.array(atoms.cell) * (1 + 1e-5 * temperature + 0.002 * list(MODELS).index(model))


def write_sweep(out, symbols=METALS, models=MODELS, frames: int = 8, failed=(("W", "meam", 3),)):
    """``failed``: (symbol, model, number of the temperature) of runs without results."""
    rng = np.random.default_rng(1)
    jobs, potentials = {}, {}
    for symbol in symbols:
        for model in models:
            name = f"{symbol}-{model}"
            potentials[name] = potential(model, symbol).record() | {"elements": [symbol]}
            for number, temperature in enumerate(temperatures(symbol)):
                folder = out / symbol / name / f"{temperature:g}K"
                folder.mkdir(parents=True)
                job = {"element": symbol, "potential": name, "kind": "md", "label": f"{symbol} {model} {temperature:g} K", "temperature": temperature}
                job |= {"seed": 1, "engine": "lammps", "hash": "0" * 64}
                if (symbol, model, number) in failed:
                    last = metals()[symbol].supercell()
                    last.write(folder / "last.xyz", format="extxyz")
                    failure = {"kind": "exploded", "sentence": "the temperature reached 90000 K", "step": 1200, "last_frame": "last.xyz"}
                    jobs[f"{symbol}/{name}/{temperature:g}K"] = job | {"status": "failed", "failure": failure, "files": {}}
                    continue
                jobs[f"{symbol}/{name}/{temperature:g}K"] = job | write_run(rng, folder, symbol, model, temperature, frames)
    plan = {
        "elements": list(symbols),
        "potentials": [f"{{element}}/{model}" for model in models],
        "temperatures": ["0.25Tm", "0.5Tm", "0.75Tm", "1.2Tm"],
    }
    record = {"schema": 2, "hash": "1" * 64, "physics": {}, "plan": plan, "command": ["metalff", "sweep", "run", "campaign.yaml"], "skipped": []}
    record |= {"versions": {"metalff": "0.2.0"}, "machine": {"cpu": "a CPU", "cores": 2, "system": "Linux"}, "potentials": potentials, "jobs": jobs}
    (out / "sweep.json").write_text(json.dumps(record))
    return out


def write_run(rng, folder, symbol: str, model: str, temperature: float, frames: int) -> dict:
    positions, cell = jitter(rng, symbol, temperature, frames, model)
    atoms, step = positions.shape[1], np.arange(frames) * 20
    chosen = potential(model, symbol)
    small = rng.normal(0, 0.1, positions.shape)
    per_frame = {"energy": np.full(frames, -3.0 * atoms), "temperature": np.full(frames, temperature)}
    words = {"element": symbol, "potential": chosen.name, "target_temperature": temperature, "potential_sha256": chosen.sha256, "plan_hash": "1" * 64}
    arrays = {"positions": positions, "velocities": small, "forces": small, "cell": np.repeat(cell[None], frames, axis=0)}
    write_trajectory(Trajectory(steps=step + 400, time_ps=(step + 400) / 1000, **arrays, **per_frame, **words), folder / "trajectory.h5")
    steps = np.arange(0, 1200, 20)
    stage = np.where(steps < 400, "equilibrate", np.where(steps < 800, "sample", "drift"))
    energy = -3.0 * atoms + np.cumsum(rng.normal(0, 1e-5, len(steps)))
    volume = np.linalg.det(cell) * (1 + rng.normal(0, 1e-4, len(steps)))
    values = (steps, stage, steps / 1000, temperature, -3.0 * atoms, 0.0, energy, 0.0, volume)
    pandas.DataFrame(dict(zip(THERMO, values, strict=True))).to_csv(folder / "thermo.csv", index=False)
    speed = MODELS[model][2] * rng.uniform(0.7, 1.3)
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("trajectory.h5", "thermo.csv")}
    return {"status": "finished", "unstable": "", "atoms": atoms, "wall_s": 3.0, "atom_steps_per_s": speed, "lammps": "29 Aug 2024", "files": files}


def write_validation(out, symbols=METALS, models=MODELS, frames: int = 3, seed: int = 2):
    """Frames with random forces; each model errs by its part of them, more for metals with many d electrons."""
    rng = np.random.default_rng(7)
    made, shares = [], []
    for symbol in symbols:
        for temperature in temperatures(symbol):
            for number in range(frames):
                positions, cell = jitter(rng, symbol, temperature, 1, "mace")
                forces = rng.normal(0, 0.2 + temperature / 2000, positions.shape[1:])
                stress = np.diag(rng.normal(0, 0.02, 3))
                numbers = metals()[symbol].supercell().numbers
                energy = len(numbers) * (-3.0 + temperature * 1e-4 + rng.normal(0, 2e-3))
                made.append(Frame(numbers, positions[0], cell, np.ones(3, bool), energy, forces, stress, temperature, "", "random", number))
                shares.append(0.4 + 1.6 * (METALS.index(symbol) % 11) / 10)
    dataset = Dataset("random metals", tuple(made), "A. Author, A Journal 2, 2 (2026)", "CC0")
    rng = np.random.default_rng(seed)
    chosen = []
    for model in models:
        part = [share * MODELS[model][1] for share in shares]
        forces = tuple(f.forces + rng.normal(0, p * f.forces.std(), f.forces.shape) for f, p in zip(made, part))
        energy = np.array([f.energy + len(f) * rng.normal(0, 0.02 * p) for f, p in zip(made, part)])
        stress = tuple(f.stress + rng.normal(0, 0.02 * p, (3, 3)) for f, p in zip(made, part))
        said = {frame.positions.tobytes(): one for frame, *one in zip(made, energy, forces, stress)}
        chosen.append(Given(said, f"{{element}}/{model}", {symbol: potential(model, symbol) for symbol in symbols}))
    out.mkdir(parents=True)
    known = reference_of(dataset)
    with Forces(known, chosen, out) as kept:
        results = compare(chosen, dataset, reference=known, keep=kept)
        write(out, results, kept, document(results, {"metalff": "0.2.0"}))
    return out


class Given(PerElement):
    """Potentials that say what is given: energy, forces and stress by the positions of a frame."""

    def __init__(self, said: dict, name: str, parts: dict):
        super().__init__(name, parts)
        object.__setattr__(self, "said", said)

    def calculator(self):
        return Saying(self.said)


class Saying(Calculator):
    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, said: dict):
        super().__init__()
        self.said = said

    def calculate(self, atoms=None, properties=(), system_changes=()):
        energy, forces, stress = self.said[atoms.positions.tobytes()]
        self.results = {"energy": energy, "forces": forces, "stress": full_3x3_to_voigt_6_stress((stress + stress.T) / 2)}


def write_properties(out, symbols=METALS, models=MODELS):
    """``properties.json``: lattice, elastic constants, vacancy, an equation of state and phonons of every metal and model."""
    rng = np.random.default_rng(3)
    rows, records = [], {}
    for symbol in symbols:
        metal = metals()[symbol]
        for model in models:
            name, off = f"{symbol}-{model}", 1 + MODELS[model][1] * rng.normal(0, 0.4, 12)
            records[name] = potential(model, symbol).record()

            def add(measurement, values, reference=(), curves=None, status="done", reason=""):
                known = [{"key": key, "value": v, "unit": unit, "kind": "experiment", "source": "Kittel 2005"} for key, v, unit in reference]
                shown = {key: {"value": v, "unit": unit, "low": None, "high": None} for key, (v, unit) in values.items()}
                row = {"model": name, "element": symbol, "crystal": metal.crystal, "measurement": measurement, "version": 1, "hash": "3" * 64}
                row |= {"status": status, "reason": reason, "seconds": 1.0, "values": shown, "curves": curves or {}, "notes": [], "warnings": []}
                rows.append(row | {"reference": known, "grade": None})

            add("lattice", {"a": (metal.a * (1 + 0.05 * (off[0] - 1)), "Å")}, [("a", metal.a, "Å")])
            constants = {key: (value * o, "GPa") for (key, value), o in zip(metal.elastic.items(), off)}
            add("elastic", constants, [(key, value, "GPa") for key, value in metal.elastic.items()])
            if (symbol, model) == ("Li", "eam"):
                add("vacancy", {}, status="failed", reason="the relaxation does not end")
            else:
                add("vacancy", {"formation_energy": (0.3 * metal.cohesive_energy * off[9], "eV")})
            volume, q = np.linspace(0.9, 1.1, 21), np.linspace(0, 4, 160)
            eos = {"x": volume.tolist(), "y": (20 * off[0] * (volume - 1) ** 2).tolist(), "x_label": "V / V₀", "y_label": "E − E₀ (eV/atom)"}
            add("eos", {"bulk_modulus": (150 * off[1], "GPa")}, curves={metal.crystal: eos | {"group": "energy over volume"}})
            bands = {"x": q.tolist(), "x_label": "wave vector", "y_label": "frequency (THz)", "group": "bands"}
            shapes = [bands | {"y": (k * off[2] * np.abs(np.sin(np.pi * q))).tolist()} for k in (3.0, 4.0, 6.0)]
            add("phonons", {"max_frequency": (6 * off[2], "THz")}, curves={f"branch {k}": shape for k, shape in enumerate(shapes, 1)})
    out.mkdir(parents=True)
    content = {"schema": 1, "command": ["metalff", "properties"], "versions": {"metalff": "0.2.0"}, "machine": {}, "models": records, "results": rows}
    (out / "properties.json").write_text(json.dumps(content))
    return out


def write_campaign(out, symbols=METALS, frames: int = 8):
    """All three, in folders below ``out``; ``frames`` of each trajectory."""
    return [
        write_validation(out / "validation", symbols),
        write_sweep(out / "sweep", symbols, frames=frames),
        write_properties(out / "properties", symbols),
    ]
