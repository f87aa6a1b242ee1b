"""Energy against volume."""

import numpy as np
from ase.build import bulk
from scipy.optimize import minimize_scalar

from metalff.errors import MetalffError
from metalff.potentials.stated import GPA
from metalff.properties.lattice import energy
from metalff.properties.measurement import Curve, Measured, Measurement, Subject, Value

SPAN, POINTS = 0.06, 13
"""Relative volumes on both sides of the minimum, and how many."""

LOWER = 2.0
"""meV/atom by which another structure must be lower to be told of: less than DFT itself is sure of."""

IDEAL = (8 / 3) ** 0.5
"""c/a of close packing."""


def crystal_of(element: str, crystal: str, volume: float, ratio: float = IDEAL):
    """``ase.Atoms`` of a crystal with ``volume`` Å³/atom; ``ratio`` is c/a of hcp."""
    if crystal == "hcp":
        a = (volume * 4 / (3**0.5 * ratio)) ** (1 / 3)
        return bulk(element, "hcp", a, c=a * ratio, orthorhombic=True)
    return bulk(element, crystal, (volume * {"fcc": 4, "bcc": 2}[crystal]) ** (1 / 3), cubic=True)


def energy_at(calculator, element: str, crystal: str, volume: float) -> float:
    """eV/atom; hcp with the best c/a."""
    if crystal != "hcp":
        atoms = crystal_of(element, crystal, volume)
        return energy(calculator, atoms) / len(atoms)

    def at(ratio):
        return energy(calculator, crystal_of(element, "hcp", volume, ratio)) / 4

    return float(minimize_scalar(at, bounds=(1.4, 2.0), method="bounded", options={"xatol": 2e-4}).fun)


def birch_murnaghan(volumes, energies) -> tuple[float, float, float, float]:
    """Volume and energy of the minimum, bulk modulus (energy/volume) and its derivative by pressure, of third order (Birch, Phys. Rev. 71, 809 (1947)).

    Raises:
        MetalffError: there is no minimum among the volumes.
    """
    x = np.asarray(volumes) ** (-2 / 3)
    shift, scale = x.mean(), x.std()
    fit = np.poly1d(np.polyfit((x - shift) / scale, energies, 3))
    first, second, third = fit.deriv(1), fit.deriv(2), fit.deriv(3)
    inside = [root.real for root in first.roots if abs(root.imag) < 1e-9 and second(root.real) > 0]
    inside = [root for root in inside if x.min() <= root * scale + shift <= x.max()]
    if not inside:
        raise MetalffError("no minimum of the energy within 6 % of the relaxed volume")
    u = inside[0]
    v = (u * scale + shift) ** (-1.5)
    p2, p3 = second(u) / scale**2, third(u) / scale**3
    dx, ddx = -2 / 3 * v ** (-5 / 3), 10 / 9 * v ** (-8 / 3)
    e2, e3 = p2 * dx**2, p3 * dx**3 + 3 * p2 * dx * ddx
    return float(v), float(fit(u)), float(v * e2), float(-v * e3 / e2 - 1)


def run(subject: Subject) -> Measured:
    own, element, calculator = subject.metal.crystal, subject.element, subject.calculator
    start = subject.cell.get_volume() / len(subject.cell)
    curves, lowest, values, notes = {}, {}, {}, []
    for crystal in (own, *(name for name in ("fcc", "bcc", "hcp") if name != own)):
        volumes = start * np.linspace(1 - SPAN, 1 + SPAN, POINTS)
        energies = np.array([energy_at(calculator, element, crystal, v) for v in volumes])
        curves[crystal] = Curve(
            volumes.tolist(), (1000 * (energies - subject.bulk_energy)).tolist(), "volume (Å³/atom)", "energy (meV/atom)", "energy"
        )
        try:
            v, lowest[crystal], modulus, derivative = birch_murnaghan(volumes, energies)
        except MetalffError:
            if crystal == own:
                raise
            notes.append(f"{crystal} has no minimum between these volumes")
            continue
        if crystal == own:
            values = {"volume": Value(v, "Å³/atom"), "bulk_modulus": Value(modulus * GPA, "GPa"), "bulk_modulus_derivative": Value(derivative, "")}
        else:
            values[f"{crystal}_energy"] = Value(1000 * (lowest[crystal] - lowest[own]), "meV/atom")
    lower = [name for name, one in lowest.items() if 1000 * (lowest[own] - one) > LOWER]
    warnings = tuple(f"{name} is lower in energy than {own}" for name in lower)
    return Measured(values, curves, tuple(notes), warnings)


MEASUREMENTS = (
    Measurement(
        "eos",
        "Equation of state",
        1,
        run,
        2,
        """Energy against volume of fcc, bcc and hcp side by side, bulk modulus (GPa) and its derivative by pressure, energies of the other structures (meV/atom).
Thirteen volumes within 6 % of the relaxed one, c/a of hcp minimised at each, fitted with Birch and Murnaghan's equation of third order. The derivative
depends on the span of the fit by some tenths. Many EAM keep fcc and hcp within a few meV of each other by construction, whatever DFT says; without
magnetism the order of structures of Fe, Co, Mn and Cr is not that of experiment. In DFT close-packed Li is some
meV lower than bcc, too. The table of metals gives Sn, Ga, In, Mn, Bi, Hg and La a simple
crystal that is not their own.""",
        needs=("lattice",),
    ),
)
