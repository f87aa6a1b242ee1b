"""One payload for linear polynomials (ACE), moment tensor potentials and PACE: sums over neighbours, products of them, and a polynomial of those.

The energy of an atom of element t is E = shift[t] + Σ_p F_p(ρ_p), with ρ_p = Σ_terms weight[term, p] · x[a] · x[b] over nodes x. The first nodes are

    A_{c,lm} = Σ_j R_c(r_ij; t_i, t_j) Y_lm(r_ij / |r_ij|)

channel by channel, for l from ``channels[c, 0]`` to ``channels[c, 1]`` and m from -l to l. Y are real spherical harmonics in the convention of e3nn:
the polar axis is y, Σ_m Y_lm² = 2l + 1. Further nodes are sums of products of earlier ones: x[out] += factor · x[a] · x[b], or factor · x[a] where b
is -1; no product writes a node after another has read it.

``native/poly.safetensors`` holds this with every number in float64; metadata ``config`` is JSON of ``format``, ``elements``, ``r_max`` in Å and
``program``, which gives the program of each element as a centre. Tensors, for T elements, a program q and ``pair`` = centre · T + neighbour:

- ``shift`` [T] eV; ``grid`` [T², 3] Å: first knot, step, cutoff of each pair (zeros: it does not interact);
- ``radial.{pair}`` [knots, 3, F]: value, first (1/Å) and second derivative (1/Å²) of F functions at the knots, the last of which lies at the cutoff,
  where value and slope are zero; quintic between knots, a straight line below the first; ``channel.{pair}`` [F]: where each function adds to;
- ``channels.{q}`` [C, 2]; ``products.{q}`` [N, 3]: a, b, out; ``factors.{q}`` [N]; ``terms.{q}`` [M, 2]: a, b (-1: none); ``weights.{q}`` [M, P] eV;
  ``embedding.{q}`` [P, 3]: kind, w, m (``embedding.h``);
- ``inner`` [T², 2] Å, where a program has densities of the kind ``CORE``: of the others c is left and of those 1 - c, where c goes from 0 to 1 over
  ``inner[:, 1]`` from ``inner[:, 0]`` on, with the distance of the neighbour that is nearest to where its pair begins;
- of fits also ``function.{q}`` [M], the basis function that a term belongs to, and ``factor.{q}`` [M]: weight = coefficient · factor.
"""

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

FORMAT = 1
MEMBER = "native/poly.safetensors"

L_MOST = 12
"""Largest l of a channel."""

NODES_MOST = 1_000_000
"""Nodes of a program."""

LINEAR, FINNIS_SINCLAIR, SHIFTED_SCALED, CORE = 0, 1, 2, 3
"""Kinds of embeddings: F = w ρ, those of ML-PACE, and w ρ in place of all others where a neighbour is close."""

STEP, KNOTS_MOST = 0.02, 4000
"""The first spacing of knots that is tried, Å; it is halved until the error is small, or the knots are this many."""

KINK_STEP = 0.005
"""The first spacing where a second derivative jumps, Å."""

VALUE_ERROR, SLOPE_ERROR = 1e-11, 1e-10
"""Largest error between knots, as a part of a function's largest value and slope."""


@dataclass(frozen=True)
class Program:
    """What the atoms of an element compute from their neighbours.

    Attributes:
        channels: [C, 2] l_first, l_last of each channel.
        products: [N, 3] a, b, out; b = -1: a sum.
        factors: [N].
        terms: [M, 2] a, b; b = -1: linear.
        weights: [M, P] eV.
        embedding: [P, 3] kind, w, m.
        function, factor: [M], of fits; see above.
    """

    channels: np.ndarray
    products: np.ndarray
    factors: np.ndarray
    terms: np.ndarray
    weights: np.ndarray
    embedding: np.ndarray = field(default_factory=lambda: np.array([[LINEAR, 1.0, 1.0]]))
    function: np.ndarray | None = None
    factor: np.ndarray | None = None

    @property
    def moments(self) -> int:
        """Nodes that are sums over neighbours."""
        return int(harmonics(self.channels).sum())

    @property
    def nodes(self) -> int:
        return max(self.moments, int(self.products.max(initial=-1)) + 1, int(self.terms.max(initial=-1)) + 1)


@dataclass(frozen=True)
class Radial:
    """The radial functions of a pair of elements as values at knots.

    Attributes:
        first, step, cutoff: Å.
        table: [knots, 3, F] value, first and second derivative.
        channel: [F] of the centre's program.
    """

    first: float
    step: float
    cutoff: float
    table: np.ndarray
    channel: np.ndarray

    @classmethod
    def sample(cls, functions: Callable, first: float, cutoff: float, channel, near: float = 0.0, breaks=()) -> "Radial":
        """Knots as close as they need to be.

        Args:
            functions: r [K] in Å → values, first and second derivatives, each [K, F]; zero with its slope at the cutoff.
            first: Å, where the functions are straight lines below.
            cutoff: Å.
            channel: [F].
            near: Å, errors count as parts of what is largest beyond it: functions may grow without bound below.
            breaks: Å, where a second or higher derivative jumps; knots lie there where even steps allow it, ``first`` moves outwards by less than a
                step, and the steps that begin there do not count: they are short, but a quintic has no kink.
        """
        step = _common_step([cutoff - place for place in breaks if first < place < cutoff]) or (cutoff - first) / np.ceil((cutoff - first) / STEP)
        step /= np.ceil(step / (KINK_STEP if len(breaks) else STEP) * (1 - 1e-9))
        while True:
            knots = int((cutoff - first) / step * (1 + 1e-12)) + 1
            r = cutoff - step * np.arange(knots)[::-1]
            radial = cls(float(r[0]), step, cutoff, np.stack(functions(r), axis=1), np.asarray(channel, int))
            error, slope_error = radial.error(functions, near, breaks)
            if (error <= VALUE_ERROR and slope_error <= SLOPE_ERROR) or 2 * knots > KNOTS_MOST:
                return radial
            step /= 2

    def error(self, functions: Callable, near: float = 0.0, breaks=()) -> tuple[float, float]:
        """Largest errors of values and of slopes between the knots beyond ``near``, as parts of the largest of a function there; see ``sample``."""
        knots = self.first + self.step * np.arange(len(self.table) - 1)
        for place in breaks:
            knots = knots[(place < knots - 1e-6) | (place >= knots + self.step - 1e-6)]
        between = (knots[:, None] + self.step * np.array([0.25, 0.5])).ravel()
        between = between[between >= near]
        errors = []
        for exact, found in zip(functions(between)[:2], self(between), strict=True):
            largest = np.abs(exact).max(axis=0)
            errors.append(float((np.abs(found - exact).max(axis=0) / np.where(largest > 0, largest, 1.0)).max(initial=0.0)))
        return errors[0], errors[1]

    def __call__(self, r) -> tuple[np.ndarray, np.ndarray]:
        """Values and slopes [K, F] at r [K] in Å, as the engine interpolates them."""
        r = np.asarray(r, float)
        k = np.clip(((r - self.first) / self.step).astype(int), 0, len(self.table) - 2)
        h, t = self.step, ((r - self.first) / self.step - k)[:, None]
        t = np.where(t < 0, 0.0, t)
        (a, da, dda), (b, db, ddb) = np.moveaxis(self.table[k], 1, 0), np.moveaxis(self.table[k + 1], 1, 0)
        c1, c2 = h * da, 0.5 * h * h * dda
        v, s, q = b - a - c1 - c2, h * db - c1 - 2 * c2, h * h * ddb - 2 * c2
        c3, c4, c5 = 10 * v - 4 * s + q / 2, -15 * v + 7 * s - q, 6 * v - 3 * s + q / 2
        value = a + t * (c1 + t * (c2 + t * (c3 + t * (c4 + t * c5))))
        slope = (c1 + t * (2 * c2 + t * (3 * c3 + t * (4 * c4 + t * 5 * c5)))) / h
        value += np.minimum(r - self.first, 0.0)[:, None] * self.table[0, 1]
        inside = (r < self.cutoff)[:, None]
        return np.where(inside, value, 0.0), np.where(inside, slope, 0.0)


@dataclass(frozen=True)
class Polynomial:
    """A whole potential.

    Attributes:
        elements: symbols.
        shift: [T] eV, energy of a free atom.
        pairs: by (centre, neighbour) the radial functions; those that are missing do not interact.
        programs: each once.
        program_of: [T] the program of each element as a centre.
        inner: [T², 2] Å, see above; None: no program has a core.
    """

    elements: list[str]
    shift: np.ndarray
    pairs: dict[tuple[int, int], Radial]
    programs: list[Program]
    program_of: list[int]
    inner: np.ndarray | None = None

    @property
    def r_max(self) -> float:
        """Å."""
        return max(radial.cutoff for radial in self.pairs.values())

    def to_bytes(self) -> bytes:
        """``native/poly.safetensors``."""
        count = len(self.elements)
        grid = np.zeros((count**2, 3))
        tensors = {"shift": self.shift, "grid": grid} | ({} if self.inner is None else {"inner": self.inner})
        for (centre, neighbour), radial in sorted(self.pairs.items()):
            pair = centre * count + neighbour
            grid[pair] = radial.first, radial.step, radial.cutoff
            tensors[f"radial.{pair}"], tensors[f"channel.{pair}"] = radial.table, radial.channel
        for q, program in enumerate(self.programs):
            for name in ("channels", "products", "factors", "terms", "weights", "embedding", "function", "factor"):
                if (values := getattr(program, name)) is not None:
                    tensors[f"{name}.{q}"] = values
        config = {"format": FORMAT, "elements": self.elements, "r_max": self.r_max, "program": list(map(int, self.program_of))}
        return safetensors(tensors, {"config": json.dumps(config)})


def _common_step(lengths: list[float]) -> float:
    """The largest step that all lengths are multiples of, Å; 0 where there is none of at least 0.002 Å."""
    micro = [round(length * 1e6) for length in lengths]
    step = math.gcd(*micro) if micro else 0
    return step * 1e-6 if step >= 2000 and all(abs(length * 1e6 - m) < 0.01 for length, m in zip(lengths, micro, strict=True)) else 0.0


def from_bytes(data: bytes) -> Polynomial:
    """What ``Polynomial.to_bytes`` made.

    Raises:
        ValueError: it is something else.
    """
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        config = json.loads(header.pop("__metadata__")["config"])
        tensors = {}
        for name, entry in header.items():
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], "<f8").reshape(entry["shape"])
        elements, pairs = config["elements"], {}
        for pair, (first, step, cutoff) in enumerate(tensors["grid"].tolist()):
            if cutoff:
                pairs[divmod(pair, len(elements))] = Radial(first, step, cutoff, tensors[f"radial.{pair}"], tensors[f"channel.{pair}"].astype(int))
        programs = []
        for q in range(max(config["program"]) + 1):
            whole = {name: tensors[f"{name}.{q}"].astype(int) for name in ("channels", "products", "terms")}
            function = tensors.get(f"function.{q}")
            programs.append(
                Program(
                    **whole,
                    factors=tensors[f"factors.{q}"],
                    weights=tensors[f"weights.{q}"],
                    embedding=tensors[f"embedding.{q}"],
                    function=None if function is None else function.astype(int),
                    factor=tensors.get(f"factor.{q}"),
                )
            )
        return Polynomial(elements, tensors["shift"], pairs, programs, config["program"], tensors.get("inner"))
    except (struct.error, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"no polynomial ({error})") from None


def harmonics(channels) -> np.ndarray:
    """[C] nodes of each channel, for channels [C, 2]."""
    channels = np.asarray(channels, int).reshape(-1, 2)
    return (channels[:, 1] + 1) ** 2 - channels[:, 0] ** 2


def safetensors(tensors: dict, metadata: dict[str, str]) -> bytes:
    """Named arrays as float64 in the safetensors layout: an 8-byte length, a JSON header, raw little-endian data."""
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for name, values in tensors.items():
        values = np.ascontiguousarray(values, "<f8")
        header[name] = {"dtype": "F64", "shape": list(values.shape), "data_offsets": [offset, offset + values.nbytes]}
        blobs.append(values.tobytes())
        offset += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(blobs)
