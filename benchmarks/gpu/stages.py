"""Operations and bytes of each kernel of mlff/kk, of one atom and step, from a model's shapes.

Operations are those of the formulas, a multiplication and an addition being two, as the native engine counts them on a processor. Bytes are what a kernel
must read and write when every number that it shares with others comes from the cache once: no kernel can move less.
"""

import json
from dataclasses import dataclass

import numpy as np

HERMITE_ROWS = 6
EDGE = 3 * 8 + 4
"""Bytes of an edge: its vector, and which node it ends on."""


@dataclass(frozen=True)
class Stage:
    label: str  # of the kernel, as Kokkos' tools see it
    functor: str  # a pattern of its name in the log of ptxas; empty: not looked up
    flops: float
    bytes: float
    shared: int = 0  # bytes of fast memory of the lanes that work together
    lanes: int = 32
    team: int = 8  # atoms that share a block at most


def squared(l: int) -> int:
    return (l + 1) ** 2


def neighbors(r: float, a: float = 3.615) -> int:
    """Of an atom in a face-centred cubic crystal."""
    n = int(r / a) + 2
    g = np.mgrid[-n : n + 1, -n : n + 1, -n : n + 1].reshape(3, -1).T
    points = np.concatenate([g + shift for shift in ((0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5))]) * a
    return int((np.linalg.norm(points, axis=1) < r).sum()) - 1


def header(payload: bytes) -> tuple[dict, dict]:
    """Shapes of a safetensors file's tensors, and what the payload says beside them."""
    length = int.from_bytes(payload[:8], "little")
    tensors = json.loads(payload[8 : 8 + length])
    described = json.loads(tensors.pop("__metadata__")["mace"])
    return {name: entry["shape"] for name, entry in tensors.items()}, described


def mace(payload: bytes, size: int, skin: float = 2.0) -> tuple[list[Stage], int]:
    """Stages in the order of a step, and neighbours. ``size``: bytes of a number."""
    shapes, model = header(payload)
    edges = neighbors(model["r_max"])
    lanes = 16 if max(layer["channels"] for layer in model["layers"]) <= 16 else 32
    precision = "double" if size == 8 else "float"
    warp = f"Warp<{precision}, {lanes}>"
    of, to, group = f"ByRow<{precision} const>", f"ByRow<{precision}>", f"ByGroup<{precision}"
    product = f"MultiplyRows<{warp}, {of}, {to}"
    stages = [around(edges, neighbors(model["r_max"] + skin))]
    forward, backward = [], []
    for k, layer in enumerate(model["layers"]):
        pad = -(-layer["channels"] // lanes) * lanes
        D = C = pad
        first = k == 0
        l_in, l_mid, l_out = max(layer["l_in"]), max(layer["l_mid"]), max(layer["l_out"])
        paths = [(l1, l3) for l1, _, l3 in layer["paths"]]
        # paths of equal l1 and l3 share their angular factors' place only when they share l2, too
        entries = sum((2 * l1 + 1) * (2 * l3 + 1) for l1, l3 in paths)
        couplings = sum(int(np.prod(shapes[f"{k}.cg.{p}"])) for p in range(len(paths)))
        columns = len(paths) * D + layer["density"]
        shared = lanes * (24 + 2 * HERMITE_ROWS * size + (entries + 1) * size) + 2 * D * size + 8
        sent = squared(l_in) * D
        messages = sum((2 * l3 + 1) * D for _, l3 in paths)
        mid, out = squared(l_mid) * C, squared(l_out) * C
        terms = sum(shapes[f"{k}.terms.{l}"][0] for l in layer["l_out"])
        of_first = " of the first layer" if first else ""
        at_edges = squared(model["l_max"])
        gather = edges * (
            sum(D * (2 * HERMITE_ROWS + (2 * l1 + 1) * (2 * (2 * l3 + 1) + (not first))) for l1, l3 in paths) + 2 * couplings + 4 * at_edges
        )
        scatter = edges * (
            sum(D * (2 * l1 + 1) * (4 * (2 * l3 + 1) + 2 + 4 * (not first)) for l1, l3 in paths)
            + 4 * HERMITE_ROWS * columns
            + 4 * couplings
            + 14 * at_edges
        )
        linear = sum(2 * (2 * l3 + 1) * D * C for _, l3 in paths)
        update = sum(2 * (2 * l + 1) * C * C for l in layer["l_out"])
        skip = sum(2 * (2 * l + 1) * C * C for l in layer["skip"])
        send = 2 * squared(l_in) * C * D if not first else 0
        name = "true" if first else "false"
        forward += [Stage("send", f"MultiplyRows<{warp}, {of}, {group}>", send, (sent + squared(l_in) * C) * size, 0, lanes)] if not first else []
        forward += [
            Stage(
                f"messages{of_first}",
                f"GatherMessages<{warp}, {name}>",
                gather,
                edges * EDGE + (messages + (0 if first else sent)) * size,
                shared,
                lanes,
            ),
            Stage("linear", product, linear, (messages + mid) * size, 0, lanes),
            Stage("product", f"ProductForward<{warp}", 2 * terms * C, (mid + out) * size, 0, lanes),
            Stage("update", product, update + skip, (2 * out + (2 * out if layer["skip"] else 0)) * size, 0, lanes),
        ]
        mine = [
            Stage("update, backward", product, update + skip, (2 * out + (2 * out if layer["skip"] else 0)) * size, 0, lanes),
            Stage("product, backward", f"ProductBackward<{warp}", 4 * terms * C, (2 * mid + out) * size, 0, lanes),
            Stage("linear, backward", product, linear, (mid + messages) * size, 0, lanes),
            Stage(
                f"messages{of_first}, backward",
                f"ScatterGradients<{warp}, {name}>",
                scatter,
                edges * (EDGE + 48) + (messages + (0 if first else sent)) * size + (0 if first else edges * sent * size),
                shared,
                lanes,
            ),
        ]
        if not first:
            mine += [
                Stage("sums of gradients", f"GatherGradients<{warp}", edges * sent, edges * (sent * size + 8) + sent * size, 0, lanes),
                Stage("send, backward", f"MultiplyRows<{warp}, {group} const>, {to}", send, (sent + 2 * squared(l_in) * C) * size, 0, lanes),
            ]
        backward = mine + backward
    stages += merged(forward + backward)
    return stages + [gathered(edges)], edges


def merged(stages: list[Stage]) -> list[Stage]:
    """Stages of one label added up: layers share a kernel."""
    by = {}
    for stage in stages:
        if (before := by.get(stage.label)) is None:
            by[stage.label] = stage
        else:
            added = before.flops + stage.flops, before.bytes + stage.bytes
            by[stage.label] = Stage(stage.label, stage.functor, *added, max(before.shared, stage.shared), stage.lanes, stage.team)
    return list(by.values())


def around(edges: int, candidates: int) -> Stage:
    """Positions of the candidates that lie within the neighbour list's skin, and the edges out of them."""
    return Stage("edges", "NeighborhoodKokkos<Kokkos::Cuda>::update", 9 * candidates, candidates * (4 + 4) + 24 + edges * EDGE, team=4)


def gathered(edges: int) -> Stage:
    """Forces out of dE/d vec of the edges that leave an atom and of those that end on it."""
    return Stage("forces", r"ForcesOf<Kokkos::Cuda, Kokkos::View<.*, false>", 6 * edges, edges * (24 + 24 + 8) + 24, team=4)


def nep(text: str, size: int, skin: float = 2.0) -> tuple[list[Stage], int]:
    """The same for nep.txt; neighbours are those of the radial part."""
    words = {line.split()[0]: line.split()[1:] for line in text.splitlines()[:8] if line.strip()}
    cutoff = [float(word) for word in words["cutoff"][:2]]
    n_radial, n_angular = (int(word) + 1 for word in words["n_max"])
    k_radial, k_angular = (int(word) + 1 for word in words["basis_size"])
    kinds = [int(word) for word in words["l_max"]]
    l_max = kinds[0]
    neurons = int(words["ANN"][0])
    radial, angular = neighbors(cutoff[0]), neighbors(cutoff[1])
    harmonics = squared(l_max)
    dim = n_radial + n_angular * (l_max + sum(kind > 0 for kind in kinds[1:]))
    function = 6  # of a Chebyshev polynomial and its derivative, by recursion
    flops = radial * (k_radial * (function + 2) + 30) + radial * (k_radial * (function + 2) + 30)
    flops += 2 * 2 * n_radial * k_radial + 2 * 2 * 2 * dim * neurons
    forward = k_angular * (function / 2 + 2 * n_angular) + 2 * n_angular * (harmonics - 1) + 5 * harmonics
    backward = k_angular * (function + 4 * n_angular) + (4 * n_angular + 2 * n_angular + 12) * (harmonics - 1)
    flops += angular * (forward + backward) + n_angular * 10 * harmonics
    lanes = 32
    group = 5 if (n_angular + 4) // 5 * 5 < (n_angular + 6) // 7 * 7 else 7
    shared = nep_shared(size, lanes, group, l_max, n_angular, dim, neurons, k_radial, harmonics)
    precision = "double" if size == 8 else "float"
    kernel = Stage(
        "nep", f"NepFused<Warp<{precision}, 32>, {8 if l_max > 4 else 4}, {7 if l_max > 4 else group}>", flops, radial * (EDGE + 24), shared, lanes
    )
    return [around(radial, neighbors(cutoff[0] + skin)), kernel, gathered(radial)], radial


def nep_shared(size, lanes, group, l_max, n_angular, dim, neurons, k_radial, harmonics) -> int:
    """As NepFused::Memory takes it."""
    if l_max > 4:
        group = 7
    row, groups, most = (group + 3) // 4 * 4, -(-n_angular // group), squared(8 if l_max > 4 else 4)

    def padded(n):
        return -(-n // lanes) * lanes

    parts = [groups * harmonics * row, groups * most * row, max(lanes * row + harmonics * (lanes + 1), k_radial * lanes)]
    parts += [padded(dim), padded(dim), padded(neurons), padded(neurons), padded(k_radial), 2 * lanes * 4 // size + 1]
    return sum((n + 3) // 4 * 4 for n in parts) * size
