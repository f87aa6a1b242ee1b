"""A model's own trajectories beside those of a reference, temperature by temperature: how forces and atoms are distributed in each.

Errors on reference structures do not say where a model's own dynamics goes; these distributions do.
"""

from dataclasses import dataclass

import numpy as np

from metalff.data import Dataset
from metalff.data.metals import metals
from metalff.errors import MetalffError
from metalff.validate import distributions, order
from metalff.validate.reference import trajectories_of
from metalff.validate.structure import radial_distribution

STRUCTURES = 200
"""Frames of a trajectory, evenly spaced, whose g(r) and angles are computed."""

NEAR = 0.05
"""Two temperatures differ by at most this part, to be compared."""

R_BINS = 160


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Frames of one metal at one temperature.

    Attributes:
        name: of the model or set.
        element: symbol.
        temperature: K.
        positions: [F,N,3] Å.
        cell: [F,3,3] Å.
        forces: [F,N,3] eV/Å.
    """

    name: str
    element: str
    temperature: float
    positions: np.ndarray
    cell: np.ndarray
    forces: np.ndarray

    def __len__(self) -> int:
        return len(self.forces)

    @property
    def volume(self) -> float:
        """Å³/atom, mean."""
        return float(np.mean(np.linalg.det(self.cell)) / self.forces.shape[1])

    def part(self, chosen: slice) -> "Ensemble":
        return Ensemble(self.name, self.element, self.temperature, self.positions[chosen], self.cell[chosen], self.forces[chosen])

    def thinned(self, count: int = STRUCTURES) -> "Ensemble":
        return self.part(slice(None, None, -(-len(self) // count)))


def of_dataset(dataset: Dataset) -> list[Ensemble]:
    """One ensemble for each trajectory, as ``reference.trajectories_of`` tells them apart: by source, group, temperature and cell.

    Raises:
        MetalffError: a frame of several elements, without a temperature, or not periodic; no two frames of one trajectory.
    """
    groups = {}
    for number, frame in zip(trajectories_of(dataset.frames), dataset):
        if len(frame.elements) > 1 or frame.temperature is None or not frame.pbc.all():
            what = "several elements" if len(frame.elements) > 1 else "no temperature" if frame.temperature is None else "a cell that is not periodic"
            raise MetalffError(
                f"frame {frame.index} of {frame.source} has {what}; select trajectories of one metal at known temperatures, such as SET[temperature=300]"
            )
        groups.setdefault(number, []).append(frame)
    found = []
    for frames in groups.values():
        if len(frames) > 1:
            arrays = (np.stack([getattr(f, key) for f in frames]) for key in ("positions", "cell", "forces"))
            found.append(Ensemble(dataset.name, frames[0].elements[0], frames[0].temperature, *arrays))
    if not found:
        raise MetalffError(f"{dataset.name} holds no trajectory: no two of its frames have the same source, temperature and cell")
    return found


@dataclass(frozen=True, eq=False)
class Profile:
    """What is known of an ensemble: samples of force components (eV/Å) and displacements (Å; None in a liquid), g(r), angles, phase."""

    ensemble: Ensemble
    forces: np.ndarray
    displacements: np.ndarray | None
    r: np.ndarray
    g: np.ndarray
    angle: np.ndarray
    angles: np.ndarray
    phase: str


def profile(ensemble: Ensemble, neighbours: float | None = None, r_max: float = 8.0) -> tuple[Profile, float]:
    """The profile, and the distance of neighbours (Å): given, or the first minimum of its g(r)."""
    few = ensemble.thinned()
    r, g = radial_distribution(few.positions, few.cell, R_BINS, r_max)
    neighbours = neighbours or distributions.first_minimum(r, g)
    angle, angles = distributions.bond_angles(few.positions, few.cell, neighbours)
    metal = metals().get(ensemble.element)
    crystal = metal.crystal if metal else "fcc"
    phase = order.phase(
        [order.solid_fraction(p, c, crystal) for p, c in zip(few.positions[:: max(1, len(few) // 8)], few.cell[:: max(1, len(few) // 8)])]
    )
    moved = None
    if phase == "solid" and len(ensemble) > 1:
        moved = distributions.displacements(distributions.unwrapped(ensemble.positions, ensemble.cell))
    return Profile(ensemble, ensemble.forces.reshape(-1), moved, r, g, angle, angles, phase), neighbours


def distances(a: Profile, b: Profile) -> dict[str, float | None]:
    """Of two profiles on the same bins: ``forces`` (eV/Å) and ``displacements`` (Å) by Wasserstein, ``g`` mean |Δg|, ``angles`` from 0 to 1."""
    moved = None if a.displacements is None or b.displacements is None else distributions.wasserstein(a.displacements, b.displacements)
    size = min(len(a.g), len(b.g))
    return {
        "forces": distributions.wasserstein(a.forces, b.forces),
        "displacements": moved,
        "g": float(np.mean(np.abs(a.g[:size] - b.g[:size]))),
        "angles": distributions.variation(a.angles, b.angles, a.angle[1] - a.angle[0]),
    }


@dataclass(frozen=True, eq=False)
class Pair:
    """A model's ensemble beside the reference's.

    Attributes:
        model, reference: profiles on the same bins.
        distance: between them, as ``distances``.
        floor: between the two halves of the reference in time: what its length leaves uncertain. None with fewer than four frames.
    """

    model: Profile
    reference: Profile
    distance: dict[str, float | None]
    floor: dict[str, float | None] | None

    def row(self) -> dict:
        """For a table; forces in eV/Å, displacements in Å, volumes in Å³/atom."""
        model, reference = self.model, self.reference
        found = {"model": model.ensemble.name, "element": model.ensemble.element, "temperature": model.ensemble.temperature}
        found |= {"reference_temperature": reference.ensemble.temperature, "frames": len(model.ensemble), "reference_frames": len(reference.ensemble)}
        found |= {"volume": model.ensemble.volume, "reference_volume": reference.ensemble.volume}
        found |= {"phase": model.phase, "reference_phase": reference.phase}
        for kind, side in (("", model), ("reference_", reference)):
            found |= {f"{kind}force_rms": float(np.sqrt(np.mean(side.forces**2)))}
            found |= {f"{kind}displacement_rms": None if side.displacements is None else float(np.sqrt(np.mean(side.displacements**2)))}
        for key in ("forces", "displacements", "g", "angles"):
            found |= {f"{key}_distance": self.distance[key], f"{key}_floor": self.floor and self.floor[key]}
        return found


def pair(model: Ensemble, references: list[Ensemble]) -> Pair:
    """The model's ensemble beside the reference's of the same metal, the nearest temperature and, of these, the nearest volume.

    Raises:
        MetalffError: there is none.
    """
    same = [r for r in references if r.element == model.element]
    if not same:
        raise MetalffError(f"{references[0].name} has no {model.element}; it has {' '.join(dict.fromkeys(r.element for r in references))}")
    nearest = min(same, key=lambda r: (abs(r.temperature - model.temperature), abs(r.volume - model.volume)))
    if abs(nearest.temperature - model.temperature) > NEAR * model.temperature:
        known = ", ".join(f"{t:g}" for t in sorted({r.temperature for r in same}))
        raise MetalffError(f"{nearest.name} has no {model.element} near {model.temperature:g} K; its temperatures are {known} K")
    heights = [1 / np.linalg.norm(np.linalg.inv(c), axis=0).max() for e in (model, nearest) for c in e.cell]
    r_max = min(8.0, 0.999 * min(heights) / 2)
    reference, neighbours = profile(nearest, None, r_max)
    own, _ = profile(model, neighbours, r_max)
    floor = None
    if len(nearest) >= 4:
        half = len(nearest) // 2
        first, second = (profile(nearest.part(part), neighbours, r_max)[0] for part in (slice(None, half), slice(half, None)))
        floor = distances(first, second)
    return Pair(own, reference, distances(own, reference), floor)


def figure(found: Pair):
    """Four panels: force components, displacements, g(r), bond angles; the reference in grey."""
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(9.6, 6.4), dpi=140, layout="constrained")
    panels = sheet.subplots(2, 2)
    sides = ((found.reference, "#8b949e", 2.4), (found.model, "#c2410c", 1.4))
    limit = max(np.quantile(np.abs(side.forces), 0.9999) for side, *_ in sides)
    moved = [side.displacements for side, *_ in sides if side.displacements is not None]
    for side, colour, width in sides:
        line = {"color": colour, "linewidth": width, "label": f"{side.ensemble.name}, {side.ensemble.temperature:g} K, {side.phase}"}
        curves = [(side.forces, np.linspace(-limit, limit, 121))]
        if len(moved) == 2:
            curves.append((side.displacements, np.linspace(0, max(np.quantile(m, 0.9999) for m in moved), 81)))
        for axes, (values, edges) in zip(panels[0], curves):
            density, _ = np.histogram(values, edges, density=True)
            axes.plot((edges[1:] + edges[:-1]) / 2, density, **line)
        panels[1, 0].plot(side.r, side.g, **line)
        panels[1, 1].plot(side.angle, side.angles, **line)
    panels[0, 0].set(xlabel="force component (eV/Å)", ylabel="density (Å/eV)", yscale="log")
    panels[0, 1].set(xlabel="displacement from the mean position (Å)", ylabel="density (1/Å)")
    if len(moved) < 2:
        panels[0, 1].text(0.5, 0.5, "no mean positions in a liquid", ha="center", va="center", transform=panels[0, 1].transAxes, color="0.5")
    panels[1, 0].set(xlabel="r (Å)", ylabel="g(r)", ylim=(0, None))
    panels[1, 1].set(xlabel="bond angle (degree)", ylabel="density (1/degree)", xlim=(0, 180), ylim=(0, None))
    panels[0, 0].legend(frameon=False, fontsize=8, loc="lower center")
    for axes, key in zip(panels.flat, ("forces", "displacements", "g", "angles")):
        axes.grid(color="0.93")
        axes.tick_params(labelsize=8)
        if found.distance[key] is not None:
            floor = "" if not found.floor or found.floor[key] is None else f"; halves of the reference {found.floor[key]:.2g}"
            axes.set_title(f"distance {found.distance[key]:.2g}{floor}", fontsize=9, loc="left")
    return sheet
