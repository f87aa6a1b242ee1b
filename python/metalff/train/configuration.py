"""What a training is made of: one schema for all families, and what each adds."""

import math
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from metalff.data import mptrj
from metalff.errors import MetalffError, nearest
from metalff.neighbours import edges
from metalff.train.description import neighborhoods

EXPECTED = {
    "e0": "auto, zero, average or an energy in eV per element",
    "stress_weight": "auto or a number that is not negative",
    "energy_weight": "two positive numbers, for the beginning and the end",
    "sel": "auto or a list with a positive integer for each element",
    "zbl": "auto, or a distance in Å that is not negative",
}
"""What keys of several types take, for error messages."""

ZBL_REACH = 0.95
"""Outer cutoff of a NEP's ZBL ÷ the shortest distance in the training data."""

MIXING_MOST = 1000
"""Numbers of optimised radial functions: each costs two evaluations of the data per step."""

R_MIN_SHARE = 0.85
"""Where a polynomial's radial functions begin ÷ the shortest distance in the training data."""

CUTOFF_POWERS = (2, 3, 4, 6, 8)
"""Of a polynomial's radial functions, to choose from."""

ZBL_ELEMENTS = 94
"""Atomic number of the last element that the engine has a ZBL for, plutonium."""

HEAD_ROOM = 1.25
"""Slots for neighbours of a DeePMD model ÷ the most neighbours in the training data."""

SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}


class Training(BaseModel):
    """What every family's training has."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    elements: Annotated[list[str], Field(min_length=1)]
    """Chemical symbols, in the order of the model's types."""
    r_max: Annotated[float, Field(gt=0, le=20)] = 4.0
    """Cutoff of one layer, Å."""
    e0: Literal["auto", "zero", "average"] | dict[str, float] = "auto"
    """Energy of a free atom of each element, eV; ``average``: least-squares energy per atom of the training data;
    ``auto``: that of the free atoms among the data; for elements without one zero where the mean energy per atom is below ``FREE_ATOM_LIMIT``, else the
    average."""
    precision: Literal["float32", "float64"] = "float32"
    """Of the arithmetic in training; the deployed model holds both."""
    seed: NonNegativeInt = 1
    """Of the initial weights, the batches and the held-out blocks."""
    lr: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Peak learning rate of Adam; falls along a cosine over the budget."""
    weight_decay: NonNegativeFloat = 5e-7
    """Of the linear layers of MACE; none elsewhere."""
    batch_size: PositiveInt = 4
    """Frames per step."""
    budget_s: NonNegativeFloat = 4200.0
    """Time spent training, s; a resumed run goes on with what is left. 0: no limit, as where ``max_epochs`` alone is given."""
    max_epochs: NonNegativeInt = 0
    """Epochs after which the training ends: the learning rate follows its steps, and a seed gives the same weights on a busy machine as on an idle
    one. 0: the time ends it."""
    warmup_steps: PositiveInt = 50
    """Steps in which the learning rate rises to ``lr``."""
    energy_weight: tuple[PositiveFloat, PositiveFloat] = (30.0, 100.0)
    """Weight of the squared energy per atom (eV²) against the squared forces (eV²/Å²), at the beginning and the end."""
    stress_weight: Literal["auto"] | NonNegativeFloat = "auto"
    """Weight of the squared virial per atom (eV²); ``auto``: ``STRESS_WEIGHT`` where the data have stress, else 0."""
    huber: NonNegativeFloat = 0.0
    """Error beyond which the loss grows linearly and no longer as a square, so that a few wrong labels cannot rule it: eV/Å for the length of an
    atom's force error, eV for the energy and the virial per atom; 0: nowhere."""
    weight: list[str] = []
    """Factors of the weight of frames in the loss, such as ``group=liquid:0.5``; by element, group, temperature, split or source."""
    max_force: NonNegativeFloat = 0.0
    """Frames with a larger force (eV/Å) are left out; 0: none."""
    max_energy: NonNegativeFloat = 0.0
    """Frames whose energy per atom is further above the line of their composition (eV) are left out; 0: none."""
    clip_grad: PositiveFloat = 100.0
    """Largest norm of the gradient."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Decay per step of the averaged weights, which are the ones kept."""
    energy_score: NonNegativeFloat = 1.0
    """The epoch kept has the lowest force RMSE (eV/Å) + energy_score × energy RMSE (eV/atom) on the validation part."""
    threads: PositiveInt = 1
    """CPU threads; the command takes all cores when nothing is said."""

    @field_validator("elements")
    @classmethod
    def _are_elements(cls, symbols):
        for symbol in symbols:
            if symbol not in atomic_numbers or symbol == "X":
                raise ValueError(f"{symbol} is not a chemical symbol{nearest(symbol, set(atomic_numbers) - {'X'})}")
        if len(set(symbols)) < len(symbols):
            raise ValueError("an element is listed twice")
        return symbols

    def contradiction(self) -> str:
        """What is wrong between keys that are right by themselves; empty when nothing is."""
        return ""

    def derived(self, dataset) -> dict:
        """Keys that follow from the training part of the data, a ``metalff.data.Dataset``."""
        return {}


class MaceTraining(Training):
    """Architecture of a MACE model; the defaults are those of the bundled models but for the cutoff.

    Names of the architecture follow Batatia et al., NeurIPS 35, 11423 (2022).
    """

    channels: PositiveInt = 16
    """Copies of every irreducible representation in the node features."""
    max_L: Annotated[int, Field(ge=0, le=4)] = 1
    """Largest angular momentum of the node features."""
    l_max: Annotated[int, Field(ge=1, le=6)] = 2
    """Largest angular momentum of the spherical harmonics of the edges; mace-torch builds no model without any (0)."""
    correlation: Annotated[int, Field(ge=1, le=4)] = 3
    """Body order − 1 of one layer."""
    num_layers: Annotated[int, Field(ge=1, le=5)] = 2
    """Message-passing layers; the model sees as far as num_layers × r_max."""
    num_bessel: PositiveInt = 8
    """Radial Bessel functions."""
    num_polynomial_cutoff: Annotated[int, Field(ge=2)] = 5
    """Exponent p of the polynomial cutoff."""
    readout_channels: PositiveInt = 16
    """Width of the last, nonlinear readout."""
    engine: Literal["auto", "native", "torch"] = "auto"
    """What gives the gradients; ``auto``: the native engine, where it covers the model and the precision is not float32."""
    precision: Literal["auto", "float32", "float64"] = "auto"
    """Of the arithmetic in training; ``auto``: float64 with the native engine, which has no other, else float32."""
    radial_mlp: Annotated[list[PositiveInt], Field(min_length=1)] = [64, 64, 64]
    """Widths of the hidden layers of the radial network."""
    zbl: bool = True
    """Add the Ziegler–Biersack–Littmark repulsion of close nuclei, as mace has it: from the sum of their covalent radii on."""

    def contradiction(self):
        if self.engine == "native" and self.precision == "float32":
            return "engine native trains in float64: leave precision out, or use engine torch"
        return f"max_L {self.max_L} must not exceed l_max {self.l_max}" if self.max_L > self.l_max else ""


class NequIPTraining(Training):
    """Architecture of a NequIP model.

    Names of the architecture follow ``NequIPGNNModel`` of nequip; Batzner et al., Nat. Commun. 13, 2453 (2022).
    """

    lr: Annotated[float, Field(gt=0, le=1)] = 0.004
    """Peak learning rate of Adam; falls along a cosine over the budget."""
    batch_size: PositiveInt = 1
    """Frames per step; a step costs as much per frame with one as with four, and a training of minutes needs steps."""
    l_max: Annotated[int, Field(ge=0, le=4)] = 1
    """Largest angular momentum of edges and node features."""
    parity: bool = False
    """Features of odd mirror parity, too."""
    num_layers: Annotated[int, Field(ge=1, le=5)] = 2
    """Message-passing layers; the model sees as far as num_layers × r_max."""
    num_features: PositiveInt = 16
    """Copies of every irreducible representation in the node features."""
    num_bessels: PositiveInt = 8
    """Radial Bessel functions."""
    polynomial_cutoff_p: Annotated[int, Field(ge=2)] = 6
    """Exponent of the polynomial cutoff."""
    radial_mlp_depth: PositiveInt = 1
    """Hidden layers of the radial network."""
    radial_mlp_width: PositiveInt = 64
    """Their width."""


class AllegroTraining(Training):
    """Architecture of an Allegro model.

    Names of the architecture follow ``AllegroModel`` of nequip-allegro; Musaelian et al., Nat. Commun. 14, 579 (2023).
    """

    lr: Annotated[float, Field(gt=0, le=1)] = 0.004
    """Peak learning rate of Adam; falls along a cosine over the budget."""
    batch_size: PositiveInt = 1
    """Frames per step; a step costs as much per frame with one as with four, and a training of minutes needs steps."""
    l_max: Annotated[int, Field(ge=0, le=4)] = 2
    """Largest angular momentum of edges and tensor features."""
    parity: bool = False
    """Features of odd mirror parity, too."""
    num_layers: Annotated[int, Field(ge=1, le=5)] = 2
    """Tensor products; they raise the body order, not the range."""
    num_scalar_features: PositiveInt = 32
    """Invariants of an edge."""
    num_tensor_features: PositiveInt = 8
    """Copies of every irreducible representation of an edge."""
    num_bessels: PositiveInt = 8
    """Radial Bessel functions."""
    polynomial_cutoff_p: Annotated[int, Field(ge=2)] = 6
    """Exponent of the polynomial cutoff."""
    mlp_width: PositiveInt = 32
    """Width of the hidden layers of all networks."""


class SevenNetTraining(Training):
    """Architecture of a SevenNet model, or the pretrained model to start from.

    A NequIP model with fewer channels for higher angular momenta; Park et al., J. Chem. Theory Comput. 20, 4857 (2024).
    """

    start: Literal["", "7net-0", "7net-mf-0", "7net-l3i5"] = ""
    """Pretrained model to go on from, which has an architecture of its own; elements that are not in the data are cut away."""
    modal: str = ""
    """Of a start trained on several kinds of data; PBE by default."""
    r_max: Annotated[float, Field(gt=0, le=20)] = 5.0
    """Cutoff of one layer, Å; 5 in the pretrained models."""
    l_max: Annotated[int, Field(ge=0, le=4)] = 1
    """Largest angular momentum of edges and node features."""
    parity: bool = False
    """Features of odd mirror parity, too: then the energy of a structure is that of its mirror image."""
    num_layers: Annotated[int, Field(ge=1, le=5)] = 2
    """Message-passing layers; the model sees as far as num_layers × r_max."""
    channels: PositiveInt = 32
    """Scalars of the node features; without parity there are half as many vectors, a quarter as many tensors of l = 2, …"""
    num_bessel: PositiveInt = 8
    """Radial Bessel functions."""
    polynomial_cutoff_p: Annotated[int, Field(ge=2)] = 6
    """Exponent of the polynomial cutoff."""
    radial_mlp: Annotated[list[PositiveInt], Field(min_length=1)] = [64, 64]
    """Widths of the hidden layers of the radial network."""
    self_connection: Literal["linear", "nequip"] = "linear"
    """How a node's features pass a layer: the same map for all elements, or one for each (nequip)."""

    def contradiction(self):
        if not self.start:
            return "modal belongs to a start that has several" if self.modal else ""
        fixed = [key for key in SevenNetTraining.__annotations__ if key not in ("start", "modal", "r_max")]
        if given := sorted(self.model_fields_set & set(fixed)):
            return f"start {self.start} has an architecture of its own: leave {', '.join(given)} out (and the size)"
        if self.r_max != 5.0:
            return f"start {self.start} has the cutoff 5 Å: leave r_max out"
        if self.e0 != "auto":
            return "e0 is fitted to the energies of the start: leave it out"
        strangers = [symbol for symbol in self.elements if symbol not in mptrj.ELEMENTS]
        return f"start {self.start} does not have {', '.join(strangers)}" if strangers else ""


class NepTraining(Training):
    """Architecture of a neuroevolution potential (NEP4).

    Names of the architecture follow ``nep.in`` of GPUMD; Fan et al., J. Chem. Phys. 157, 114801 (2022).
    """

    r_max: Annotated[float, Field(gt=0, le=20)] = 5.0
    """Cutoff of the radial descriptors, Å."""
    r_max_angular: Annotated[float, Field(gt=0, le=20)] = 5.0
    """Cutoff of the angular descriptors, Å."""
    n_max: tuple[Annotated[int, Field(ge=0, le=19)], Annotated[int, Field(ge=0, le=19)]] = (7, 9)
    """Radial functions − 1 of the radial and of the angular descriptors."""
    basis_size: tuple[Annotated[int, Field(ge=0, le=19)], Annotated[int, Field(ge=0, le=19)]] = (9, 9)
    """Chebyshev functions − 1 of these."""
    l_max: tuple[Annotated[int, Field(ge=0, le=8)], Literal[0, 2], Literal[0, 1]] = (4, 2, 1)
    """Largest angular momentum of the three-body descriptors; 2: four-body descriptors q_222; 1: five-body descriptors q_1111."""
    neuron: Annotated[int, Field(ge=1, le=200)] = 30
    """Neurons of the hidden layer, for each element."""
    zbl: Literal["auto"] | NonNegativeFloat = "auto"
    """Outer cutoff of the Ziegler–Biersack–Littmark repulsion, Å, whose inner one is half of it; 0: none. ``auto``: ``ZBL_REACH`` times the shortest
    distance in the training data, so that atoms that come closer than any there repel each other, and the model has nothing to make up for."""
    free_atom: Literal["auto"] | bool = "auto"
    """Atoms without neighbours have exactly the energy E0: nep.txt has no place for E0, so one parameter of each element follows from the others.
    ``auto``: where the user says E0, or the data have a free atom of each element."""
    optimizer: Literal["kalman", "adam"] = "kalman"
    """``kalman``: an extended Kalman filter, which takes second-order steps; ``adam``: gradients alone."""
    batch_size: PositiveInt = 1
    """Frames per step."""
    lr: Annotated[float, Field(gt=0, le=1)] = 0.003
    """Peak learning rate of Adam, where that is the optimizer; falls along a cosine over the budget."""
    precision: Literal["float64"] = "float64"
    """The native engine trains in float64 only."""
    budget_s: NonNegativeFloat = 600.0

    def contradiction(self):
        if self.r_max_angular > self.r_max:
            return f"r_max_angular {self.r_max_angular:g} must not exceed r_max {self.r_max:g}"
        if (self.l_max[1] and self.l_max[0] < 2) or (self.l_max[2] and self.l_max[0] < 1):
            return f"l_max {list(self.l_max)}: q_222 needs a first number of at least 2, q_1111 one of at least 1"
        return ""

    def derived(self, dataset):
        """``zbl``: a little further than the shortest distance; none for elements beyond those that ZBL is known for, or where no atom has a neighbour."""
        if self.zbl != "auto":
            return {}
        shortest = neighborhoods(dataset, self.r_max)["shortest_distance"]
        known = all(atomic_numbers[symbol] <= ZBL_ELEMENTS for symbol in self.elements)
        return {"zbl": round(min(ZBL_REACH * shortest, self.r_max_angular), 3) if known else 0.0}


class PolyTraining(Training):
    """A linear polynomial of the atomic cluster expansion, fitted by least squares."""

    UNUSED: ClassVar[tuple[str, ...]] = (
        "lr", "weight_decay", "batch_size", "budget_s", "max_epochs", "warmup_steps", "clip_grad", "ema", "huber", "energy_score",
    )  # fmt: skip

    r_max: Annotated[float, Field(gt=0, le=20)] = 6.0
    """Cutoff, Å."""
    r_min: Literal["auto"] | PositiveFloat = "auto"
    """Å, where the range of the Chebyshev polynomials begins; below, they hardly change. ``auto``: ``R_MIN_SHARE`` of the shortest distance in the training
    data, whose few closest pairs would else have polynomials of their own."""
    radial: Annotated[int, Field(ge=1, le=40)] = 10
    """Radial functions of each neighbouring element: Chebyshev polynomials of the distance, or, with ``radial_steps``, sums of them."""
    radial_steps: NonNegativeInt = 0
    """Gauss–Newton steps that optimise these sums, in which every step costs some hundred evaluations of the data: few optimised functions do what many
    polynomials do, faster. A step that gains less than a thousandth is the last. 0: none."""
    polynomials: Annotated[int, Field(ge=1, le=40)] = 10
    """Chebyshev polynomials that an optimised function is a sum of."""
    cutoff_power: Literal["auto"] | Annotated[int, Field(ge=2, le=12)] = "auto"
    """Power of 1 − (r − r_min)/(r_max − r_min) that they fall to zero with: the higher, the less distant neighbours count. ``auto``: of
    ``CUTOFF_POWERS`` the one with which a small polynomial predicts held-out folds best."""
    l_max: Annotated[int, Field(ge=0, le=12)] = 5
    """Angular momentum of edges."""
    degree: Annotated[list[PositiveFloat], Field(min_length=1, max_length=4)] = [14, 12, 12, 12]
    """Functions of one, two, three and four neighbours: Σ (1 + n·radial_cost + l) over their neighbours is at most this."""
    radial_cost: PositiveFloat = 1.0
    """What a radial index n (from 0) costs against an l."""
    folds: Annotated[int, Field(ge=2, le=20)] = 4
    """Parts of the training data, of blocks of consecutive frames, that are held out in turn to choose the regularisation and the size."""
    size_tolerance: NonNegativeFloat = 0.0
    """Of the polynomials within this one (all degrees smaller by as much), the smallest is taken whose held-out error is not larger than that of the best
    by more than this part of it."""
    committee: Annotated[int, Field(ge=0, le=31)] = 0
    """Members of a committee in the same file: polynomials drawn from the posterior of the fit, as wide as held-out errors are, whose disagreement says how
    far the model can be trusted (docs/poly.md)."""
    zbl: Literal["auto"] | NonNegativeFloat = "auto"
    """Outer cutoff of the Ziegler–Biersack–Littmark repulsion, Å, which is switched off from half of it on; 0: none. ``auto``: as of a NEP."""
    energy_weight: PositiveFloat = 30.0
    """Weight of the squared energy per atom (eV²) against the squared forces (eV²/Å²)."""
    stress_weight: NonNegativeFloat = 0.1
    """Weight of the squared virial per atom (eV²), where the data have stress."""
    free_atom: Literal["auto"] | bool = "auto"
    """Atoms without neighbours have exactly the energy E0. ``auto``: where the user says E0, or the data have a free atom of each element."""
    precision: Literal["float64"] = "float64"
    """Least squares are solved in float64 only."""
    energy_score: Literal[0.0] = 0.0
    """The model is not chosen among epochs."""

    def contradiction(self):
        if self.radial_steps and self.polynomials < self.radial:
            return f"{self.radial} radial functions cannot be sums of {self.polynomials} polynomials: give more polynomials, or a smaller radial"
        if self.radial_steps and (numbers := len(self.elements) ** 2 * self.radial * self.polynomials) > MIXING_MOST:
            return f"radial functions of {numbers} numbers are too many to optimise ({MIXING_MOST}): give a smaller radial, or radial_steps=0"
        if given := sorted(self.model_fields_set & set(self.UNUSED)):
            return f"a polynomial is fitted by least squares, which has no {', '.join(given)}: leave {'it' if len(given) == 1 else 'them'} out"
        return ""

    def derived(self, dataset):
        """``r_min`` and ``zbl``, from the shortest distance."""
        shortest = neighborhoods(dataset, self.r_max)["shortest_distance"]
        known = shortest > 0 and all(atomic_numbers[symbol] <= ZBL_ELEMENTS for symbol in self.elements)
        found = {}
        if self.r_min == "auto":
            found["r_min"] = round(R_MIN_SHARE * shortest or 0.3 * self.r_max, 3)
        if self.zbl == "auto":
            found["zbl"] = round(min(ZBL_REACH * shortest, self.r_max), 3) if known else 0.0
        return found


class TorchTraining(Training):
    """A module of the user's own, in the contract of ``docs/contract.md``."""

    module: str
    """FILE.py:NAME; a copy of the file lies in the directory of the training."""
    module_sha256: str
    """Of the file; the command fills it in."""
    arguments: dict = {}
    """Keyword arguments of NAME. Where it has parameters ``elements``, ``r_max`` or ``avg_num_neighbors``, it gets those of the training."""


class DeePMDTraining(Training):
    """Architecture of a DeePMD model with the descriptor se_e2_a.

    Names follow the input files of deepmd-kit; Zhang et al., NeurIPS 31 (2018).
    """

    lr: Annotated[float, Field(gt=0, le=1)] = 0.004
    """Peak learning rate of Adam; falls along a cosine over the budget."""
    batch_size: PositiveInt = 1
    """Frames per step; a step costs as much per frame with one as with four, and a training of minutes needs steps."""
    energy_weight: tuple[PositiveFloat, PositiveFloat] = (0.5, 50.0)
    """Weight of the squared energy per atom (eV²) against the squared forces (eV²/Å²), at the beginning and the end: forces first, as
    deepmd-kit does; with the weights of the other families the force errors of the same training were twice as large."""
    rcut_smth: Annotated[float, Field(ge=0)] = 0.5
    """Where the weight of neighbours begins to fall smoothly to zero at r_max, Å."""
    sel: Literal["auto"] | list[PositiveInt] = "auto"
    """Slots for neighbours of each element: a factor of the model. ``auto``: a quarter more than the most in the training data. Only
    deepmd-kit leaves out neighbours that find no slot; what is deployed here never does."""
    neuron: Annotated[list[PositiveInt], Field(min_length=1)] = [16, 32, 64]
    """Widths of the embedding networks."""
    axis_neuron: PositiveInt = 8
    """Columns of the embedding matrix that meet all others."""
    fitting_neuron: Annotated[list[PositiveInt], Field(min_length=1)] = [64, 64, 64]
    """Widths of the hidden layers of the fitting networks."""
    type_one_side: bool = True
    """One embedding network per element of the neighbour; otherwise per pair of elements."""
    resnet_dt: bool = True
    """Trained time steps in the residual layers of the fitting networks."""
    activation_function: Literal["tanh", "gelu", "relu", "relu6", "softplus", "sigmoid", "silu"] = "tanh"
    """Of all networks."""

    def contradiction(self):
        if self.rcut_smth >= self.r_max:
            return f"rcut_smth {self.rcut_smth:g} must be below r_max {self.r_max:g}"
        if self.axis_neuron > self.neuron[-1]:
            return f"axis_neuron {self.axis_neuron} must not exceed the last width of neuron, {self.neuron[-1]}"
        if self.sel != "auto" and len(self.sel) != len(self.elements):
            return f"sel must give one number for each of {' '.join(self.elements)}"
        return ""

    def derived(self, dataset):
        """``sel``: for each element, the most neighbours that an atom has of it, and some more; in fours, as deepmd-kit counts them."""
        if self.sel != "auto":
            return {}
        most = np.zeros(len(self.elements), int)
        for frame in dataset:
            i, j, _ = edges(frame.cell, frame.pbc, frame.positions, self.r_max)
            types = np.array([self.elements.index(chemical_symbols[z]) for z in frame.numbers])
            counts = np.zeros((len(frame), len(most)), int)
            np.add.at(counts, (i, types[j]), 1)
            most = np.maximum(most, counts.max(0))
        return {"sel": [max(4, 4 * math.ceil(HEAD_ROOM * count / 4)) for count in most.tolist()]}


@dataclass(frozen=True)
class Family:
    """A family that ``metalff train`` knows.

    Attributes:
        schema: keys of its configuration.
        sizes: what each size changes in the defaults.
        worker: file beside this one that runs inside the environment.
        model: what the training leaves, in its directory.
        framework: whether it needs the family's environment; else it runs in MetalFF's own Python …
        torch: … and whether it needs torch there.
    """

    name: str
    title: str
    schema: type[Training]
    sizes: dict[str, dict]
    worker: str
    model: str
    framework: bool = True
    torch: bool = True


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "mace",
            "MACE",
            MaceTraining,
            {
                "small": {},
                "medium": {"r_max": 5.0, "channels": 32, "l_max": 3},
                "large": {"r_max": 6.0, "channels": 64, "max_L": 2, "l_max": 3},
            },
            "mace_worker.py",
            "mace.model",
        ),
        Family(
            "allegro",
            "Allegro",
            AllegroTraining,
            {
                "small": {"r_max": 5.0},
                "medium": {"r_max": 5.5, "num_scalar_features": 64, "num_tensor_features": 16, "mlp_width": 64},
                "large": {
                    "r_max": 6.0,
                    "l_max": 3,
                    "num_scalar_features": 128,
                    "num_tensor_features": 32,
                    "mlp_width": 128,
                },
            },
            "nequip_worker.py",
            "weights.safetensors",
        ),
        Family(
            "nequip",
            "NequIP",
            NequIPTraining,
            {
                "small": {},
                "medium": {"r_max": 5.0, "num_features": 32, "l_max": 2},
                "large": {"r_max": 6.0, "num_features": 64, "l_max": 2, "num_layers": 3},
            },
            "nequip_worker.py",
            "weights.safetensors",
        ),
        Family(
            "sevennet",
            "SevenNet",
            SevenNetTraining,
            {
                "small": {},
                "medium": {"channels": 64, "l_max": 2, "num_layers": 3},
                "large": {"channels": 128, "l_max": 2, "num_layers": 5},
            },
            "sevennet_worker.py",
            "weights.safetensors",
        ),
        Family(
            "nep",
            "NEP",
            NepTraining,
            {
                "small": {},
                "medium": {"n_max": (9, 11), "basis_size": (11, 11), "neuron": 60},
                "large": {"r_max": 8.0, "r_max_angular": 6.0, "n_max": (11, 13), "basis_size": (14, 14), "neuron": 100},
            },
            "nep_worker.py",
            "nep.txt",
            framework=False,
        ),
        Family(
            "poly",
            "Linear polynomial",
            PolyTraining,
            {
                "small": {},
                "medium": {"radial": 5, "radial_cost": 4.0, "degree": [22, 18, 18, 16], "radial_steps": 12},
                "large": {"radial": 6, "l_max": 6, "radial_cost": 4.0, "degree": [26, 22, 22, 19], "radial_steps": 15},
            },
            "poly_worker.py",
            "poly.safetensors",
            framework=False,
            torch=False,
        ),
        Family(
            "torch",
            "A module of your own",
            TorchTraining,
            {"small": {}},
            "torch_worker.py",
            "weights.safetensors",
            framework=False,
        ),
        Family(
            "deepmd",
            "DeePMD",
            DeePMDTraining,
            {
                "small": {"r_max": 5.0},
                "medium": {"r_max": 6.0, "neuron": [25, 50, 100], "fitting_neuron": [120, 120, 120]},
                "large": {
                    "r_max": 6.0,
                    "neuron": [25, 50, 100],
                    "axis_neuron": 16,
                    "fitting_neuron": [240, 240, 240],
                },
            },
            "deepmd_worker.py",
            "weights.safetensors",
        ),
    )
}


def configuration(family: str, values: dict, size: str = "small") -> Training:
    """A checked configuration.

    Args:
        values: names of the family's schema; they win over what ``size`` sets.
        size: small, medium or large.
    Raises:
        MetalffError: unknown size or key (with the nearest valid name), or a value out of range.
    """
    known = FAMILIES[family]
    if size not in known.sizes:
        raise MetalffError(f"there is no size {size}{nearest(size, known.sizes)}; choose {', '.join(known.sizes)}")
    try:
        config = known.schema.model_validate(known.sizes[size] | values)
    except ValidationError as error:
        raise MetalffError(f"training configuration: {_sentence(error.errors(), known.schema)}") from None
    if reason := config.contradiction():
        raise MetalffError(f"training configuration: {reason}")
    if isinstance(config.e0, dict) and not set(config.e0) <= set(config.elements):
        raise MetalffError(f"training configuration: e0 must give one energy for each of {' '.join(config.elements)}")
    if config.max_epochs and "budget_s" not in config.model_fields_set:
        config = config.model_copy(update={"budget_s": 0.0})
    if not (config.max_epochs or config.budget_s):
        raise MetalffError("training configuration: budget_s 0 is no limit: give max_epochs, which then ends the training")
    return config


def _sentence(errors, schema) -> str:
    """One sentence about the worst error; a misspelt key comes before the one that it leaves out."""
    error = min(errors, key=lambda entry: entry["type"] != "extra_forbidden")
    key = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"unknown key {key}{nearest(key, schema.model_fields)}"
    if error["type"] == "missing" and len(error["loc"]) == 1:
        return f"the key {key} is missing"
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    if key in EXPECTED:
        return f"{key} must be {EXPECTED[key]}"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"


def seconds(text: str) -> float:
    """A duration such as ``90s``, ``70min``, ``1.5h``, ``2h30m`` in seconds.

    Raises:
        MetalffError: not a duration, or not longer than zero.
    """
    parts = re.findall(r"([\d.]+)\s*(min|[smhd])", text)
    if "".join(f"{n}{unit}" for n, unit in parts) == re.sub(r"\s", "", text) != "":
        try:
            total = sum(float(n) * SECONDS[unit] for n, unit in parts)
        except ValueError:
            total = 0.0
        if total > 0:
            return total
    raise MetalffError(f"{text!r} is not a duration; give one such as 90s, 70min, 1.5h or 2h30m")
