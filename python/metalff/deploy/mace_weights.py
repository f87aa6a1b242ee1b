"""MACE's weights in the plain form that the native engine reads; runs inside MACE's private environment, beside mace_worker.py.

A ScaleShiftMACE is: radial functions, sums over neighbours of products with spherical harmonics, linear maps, polynomials of degree ≤ 3.
Every normalisation of e3nn and mace is folded into the tensors, so that the engine needs none of their conventions: linear maps and
coupling coefficients are read off by feeding unit vectors, polynomials are summed over permutations. Feature (l, m) has index l² + m.

Tensors (float64; elements e in the model's order, channels c, C of the node features, D of the messages):

- ``energy`` [e] eV: energy of a free atom and shift; ``embedding`` [e, C]; ``atomic_number``, ``covalent_radius`` [e] Å; ``radial`` [n]:
  frequencies (1/Å) or centres (Å) of the basis;
- layer k: ``k.up.l`` [C, D]; ``k.mlp.i`` [in, out], silu between them, the last giving R_pc(r), path-major; ``k.cg.p`` [2l1+1, 2l2+1, 2l3+1];
  ``k.linear.l`` [1 or e, P_l · D, C]: from the paths that end on l; ``k.density`` [n]; ``k.skip.l`` [e, C, C];
- ``k.terms.l`` [terms, 4] of component m and feature indices i ≤ j ≤ k (-1: none), ``k.product.l`` [1 or e, terms, C]; ``k.post.l`` [C, C];
- ``k.readout.i``: [C, 1], or [C, H] and [H, 1] with silu between them, in eV.

All but ``cg`` and ``terms`` are polynomials of second degree in mace's parameters. What is constant in them is found once per architecture
(``Form``), so that training can make the tensors at every step and differentiate through them.
"""

import json

import numpy as np
import torch
from program import safetensors
from mace import modules

# isort: split
from e3nn import o3
from mace.tools.scripts_utils import extract_config_mace_model

FORMAT = 1
INTERACTIONS = (
    modules.RealAgnosticInteractionBlock,
    modules.RealAgnosticResidualInteractionBlock,
    modules.RealAgnosticDensityInteractionBlock,
    modules.RealAgnosticDensityResidualInteractionBlock,
)


class NotCovered(Exception):
    """The native engine does not cover this model; the message says why."""


def plain(value):
    """A hyperparameter as JSON: irreps as text, classes and functions by name, arrays as lists."""
    if isinstance(value, o3.Irreps):
        return str(value)
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return value.tolist()
    return getattr(value, "__name__", str(value))


def save(model) -> bytes:
    """A model as a safetensors file: its weights, the arguments of ``ScaleShiftMACE`` as metadata ``config``; ``mace_worker.restore`` reads it."""
    config = {key: plain(value) for key, value in extract_config_mace_model(model).items()}
    return safetensors(model.state_dict(), {"config": json.dumps(config)})


def require(condition, reason: str) -> None:
    if not condition:
        raise NotCovered(reason)


PARAMETERS = ("up", "mlp", "linear", "skip", "product", "post", "readout")
"""Tensors of a layer that training changes, in the order of the native trainer."""


def payload(model) -> bytes:
    """The payload of a ScaleShiftMACE in float64. Raises NotCovered."""
    return Form(model).payload(model)


class Form:
    """The plain form of all models of one architecture; raises NotCovered.

    Attributes:
        description: what the payload says beside its tensors.
        fixed: tensors by name that do not depend on parameters.
        made: by name, functions of a model that give its tensors, differentiable.
    """

    def __init__(self, model):
        with torch.no_grad():
            self.description, self.fixed, self.made = _describe(model)
        self.description["format"] = FORMAT
        starts = [f"{k}.{kind}." for k in range(len(self.description["layers"])) for kind in PARAMETERS]
        ordered = [name for start in starts for name in self.made if name.startswith(start)]
        self.parameters = ["energy", "embedding", *ordered]

    def payload(self, model) -> bytes:
        with torch.no_grad():
            tensors = {name: make(model).double() for name, make in self.made.items()}
        return safetensors(self.fixed | tensors, {"mace": json.dumps(self.description)})

    def flat(self, model):
        """Parameters of the native trainer, [n] in float64, as a function of the model's own."""
        return torch.cat([self.made[name](model).reshape(-1) for name in self.parameters]).double()


def _describe(model):
    require(not hasattr(model, "joint_embedding"), "it embeds further properties of the atoms")
    elements = len(model.atomic_numbers)
    radial, fixed = _radial(model)
    fixed["atomic_number"] = model.atomic_numbers.double()
    embedding = model.node_embedding.linear
    channels, embed = embedding.irreps_out.dim, Entries(lambda w: embedding(torch.eye(elements), w), embedding)
    made = {
        "energy": lambda m: _first_head(m.atomic_energies_fn.atomic_energies, elements) + torch.atleast_1d(m.scale_shift.shift)[0],
        "embedding": lambda m: embed(m.node_embedding.linear),
    }
    layers, count = [], int(model.num_interactions)
    for k in range(count):
        readout = k if len(model.readouts) == count else 0 if k == count - 1 else None
        layer, constants, parts = _layer(model, k, elements)
        layer["readout"] = 0
        if readout is not None:
            matrices = _readout(model.readouts[readout], len(model.heads))
            layer["readout"] = len(matrices)
            last = matrices.pop()
            for i, matrix in enumerate(matrices):
                parts[f"readout.{i}"] = lambda m, matrix=matrix, at=readout: matrix(m.readouts[at])
            parts[f"readout.{len(matrices)}"] = lambda m, matrix=last, at=readout: matrix(m.readouts[at]) * torch.atleast_1d(m.scale_shift.scale)[0]
        layers.append(layer)
        fixed |= {f"{k}.{name}": tensor for name, tensor in constants.items()}
        made |= {f"{k}.{name}": make for name, make in parts.items()}
    description = {
        "elements": elements,
        "r_max": float(model.r_max),
        "channels": channels,
        "l_max": model.spherical_harmonics.irreps_out.lmax,
        "radial": radial,
        "layers": layers,
    }
    return description, fixed, made


class Entries:
    """A matrix whose every entry is one weight of a module of e3nn times a constant, both found by feeding weights that are known."""

    def __init__(self, function, module):
        numel = module.weight.numel()
        ramp = torch.arange(1.0, numel + 1)
        self.factor = function(torch.ones(numel))
        index = torch.where(self.factor == 0, 1.0, function(ramp) / self.factor)
        require(bool((index - index.round()).abs().max() < 1e-6), "a linear map mixes its weights")
        self.index = index.round().long().reshape(-1) - 1

    def __call__(self, module):
        return self.factor * module.weight.index_select(0, self.index).view_as(self.factor)


def _first_head(energies, elements):
    return torch.atleast_2d(energies)[0].double().reshape(elements)


def _radial(model):
    embedding = model.radial_embedding
    name = type(embedding.bessel_fn).__name__
    radial = {
        "p": int(embedding.cutoff_fn.p),
        "cutoff_on_basis": bool(getattr(embedding, "apply_cutoff", True)),
        "basis": {"BesselBasis": "bessel", "GaussianBasis": "gaussian"}.get(name),
        "transform": "none",
    }
    # forces of mace's ChebychevBasis are not the derivatives of its energy: torch's polynomial has no gradient
    require(radial["basis"], f"its radial basis is {name}")
    if radial["basis"] == "bessel":
        tensors = {"radial": embedding.bessel_fn.bessel_weights}
        radial["factor"] = float(embedding.bessel_fn.prefactor)
    else:
        tensors = {"radial": embedding.bessel_fn.gaussian_weights}
        radial["factor"] = float(embedding.bessel_fn.coeff)
    transform = getattr(embedding, "distance_transform", None)
    radii = torch.zeros(len(model.atomic_numbers))
    if transform is not None:
        name = type(transform).__name__
        require(name in ("AgnesiTransform", "SoftTransform"), f"its distance transform is {name}")
        radial["transform"] = name.removesuffix("Transform").lower()
        radii = transform.covalent_radii[model.atomic_numbers]
        radial |= {c: float(getattr(transform, c)) for c in ("q", "p", "a", "alpha") if hasattr(transform, c) and c != "p"}
        if hasattr(transform, "p"):
            radial["agnesi_p"] = float(transform.p)
    if hasattr(model, "pair_repulsion"):
        zbl = model.pair_repulsion_fn
        radii = zbl.covalent_radii[model.atomic_numbers]
        scale = float(torch.atleast_1d(model.scale_shift.scale)[0])  # mace scales the repulsion like all interaction
        radial["zbl"] = {
            "p": int(zbl.p),
            "exponent": float(zbl.a_exp),
            "length": float(zbl.a_prefactor) * 0.529,
            "c": (scale * zbl.c).tolist(),
        }
    tensors["covalent_radius"] = radii
    return radial, {name: tensor.double() for name, tensor in tensors.items()}


def _blocks(irreps):
    """(l, multiplicity, slice) of irreps that have the parity of spherical harmonics."""
    blocks = []
    for (mul, ir), where in zip(irreps, irreps.slices()):
        require(ir.p == (-1) ** ir.l, f"it has features {ir}, of the other parity than spherical harmonics")
        blocks.append((ir.l, mul, where))
    return blocks


def _single(irreps):
    """l → (multiplicity, slice); every l once."""
    blocks = {l: (mul, where) for l, mul, where in _blocks(irreps)}
    require(len(blocks) == len(irreps), f"its irreps {irreps} name an l twice")
    require(len({mul for mul, _ in blocks.values()}) == 1, f"its irreps {irreps} have several numbers of channels")
    return blocks


def _matrix(module, source, target, l, irreps_in, attributes=None):
    """[multiplicity in, multiplicity out] of an equivariant linear module between its features of one l, as Entries.

    ``attributes``: the second input of a tensor product.
    """
    mul, where = source[l]
    units = torch.zeros(mul, irreps_in.dim)
    units[torch.arange(mul), where.start + torch.arange(mul) * (2 * l + 1)] = 1.0
    mul_out, out = target[l]
    others = () if attributes is None else (attributes.expand(mul, -1),)
    return Entries(lambda w: module(units, *others, w)[:, out].reshape(mul, mul_out, 2 * l + 1)[:, :, 0], module)


def _layer(model, k, elements):
    """Description, constant tensors, and functions of a model that make the others."""
    block, product = model.interactions[k], model.products[k]
    require(type(block) in INTERACTIONS, f"its interaction block is {type(block).__name__}")
    fixed, made = {}, {}
    tp, up = block.conv_tp, block.linear_up
    before, sent = _single(up.irreps_in), _single(up.irreps_out)
    for l in sent:
        entries = _matrix(up, before, sent, l, up.irreps_in)
        made[f"up.{l}"] = lambda m, entries=entries: entries(m.interactions[k].linear_up)

    mids = _blocks(tp.irreps_out)
    paths = []
    for at, ins in enumerate(tp.instructions):
        l1, l2, l3 = list(sent)[ins.i_in1], tp.irreps_in2[ins.i_in2].ir.l, mids[ins.i_out][0]
        paths.append([l1, l2, l3])
        fixed[f"cg.{at}"] = _coupling(tp, at, sent[l1], mids[ins.i_out], l1, l2, l3).double()
    channels = next(iter(sent.values()))[0]
    require(all(mids[ins.i_out][1] == channels for ins in tp.instructions), "its messages have several numbers of channels")

    factors = _mlp(block.conv_tp_weights)
    for i, factor in enumerate(factors):
        made[f"mlp.{i}"] = lambda m, i=i, factor=factor: factor * m.interactions[k].conv_tp_weights[i].weight
    density = hasattr(block, "density_fn")
    if density:
        (factor,) = _mlp(block.density_fn)
        made["density"] = lambda m: factor * m.interactions[k].density_fn[0].weight[:, 0]

    target = _single(block.irreps_out)
    require(list(target) == list(range(len(target))), f"its messages lack an l: {block.irreps_out}")
    residual = type(block) in INTERACTIONS[1::2]
    one = torch.eye(elements)

    def skips(source, skipped, l, irreps_in):
        after = [_matrix(block.skip_tp, source, skipped, l, irreps_in, one[e]) for e in range(elements)]
        return lambda m: torch.stack([entries(m.interactions[k].skip_tp) for entries in after])

    for l in target:
        ends = [(mul, where) for (_, mul, where), ins in zip([mids[i.i_out] for i in tp.instructions], tp.instructions) if mids[ins.i_out][0] == l]
        parts = [_matrix(block.linear, {l: end}, target, l, tp.irreps_out) for end in ends]
        after = None if residual else skips(target, target, l, block.irreps_out)

        def linear(m, parts=parts, after=after):
            matrix = torch.cat([entries(m.interactions[k].linear) for entries in parts])
            if not density:
                matrix = matrix / m.interactions[k].avg_num_neighbors
            return matrix[None] if after is None else matrix @ after(m)

        made[f"linear.{l}"] = linear
    outputs = _single(product.linear.irreps_out)
    if residual:
        skipped = _single(block.skip_tp.irreps_out)
        for l in sorted(set(before) & set(skipped) & set(outputs)):
            made[f"skip.{l}"] = skips(before, skipped, l, up.irreps_in)

    for at, (l, contraction) in enumerate(zip(outputs, product.symmetric_contractions.contractions)):
        fixed[f"terms.{l}"], polynomial = _polynomial(contraction, l)
        made[f"product.{l}"] = lambda m, polynomial=polynomial, at=at: polynomial(m.products[k].symmetric_contractions.contractions[at])
        entries = _matrix(product.linear, outputs, outputs, l, product.linear.irreps_in)
        made[f"post.{l}"] = lambda m, entries=entries: entries(m.products[k].linear)
    layer = {
        "channels": channels,
        "l_in": list(sent),
        "l_mid": list(target),
        "l_out": list(outputs),
        "paths": paths,
        "mlp": len(factors),
        "density": density,
        "skip": sorted(set(before) & set(outputs)) if residual else [],
    }
    return layer, fixed, made


def _coupling(tp, at, source, mid, l1, l2, l3):
    """[2l1+1, 2l2+1, 2l3+1] of one path of the tensor product, with its normalisation."""
    a, b = 2 * l1 + 1, 2 * l2 + 1
    x = torch.zeros(a, b, tp.irreps_in1.dim)
    y = torch.zeros(a, b, tp.irreps_in2.dim)
    for m in range(a):
        x[m, :, source[1].start + m] = 1.0
    for m in range(b):
        y[:, m, tp.irreps_in2.slices()[tp.instructions[at].i_in2].start + m] = 1.0
    sizes = [ins.path_shape[0] for ins in tp.instructions]
    weights = torch.zeros(tp.weight_numel)
    weights[sum(sizes[:at]) : sum(sizes[: at + 1])] = 1.0
    out = tp(x.reshape(a * b, -1), y.reshape(a * b, -1), weights.expand(a * b, -1))
    return out[:, mid[2].start : mid[2].start + 2 * l3 + 1].reshape(a, b, 2 * l3 + 1)


def _mlp(net):
    """Factors of the weights of an e3nn FullyConnectedNet, such that silu alone stands between the matrices."""
    factors, before = [], 1.0
    for layer in net:
        act = layer.act
        if act is None:
            factors.append(before / (layer.h_in * layer.var_in / layer.var_out) ** 0.5)
        else:
            factors.append(before / (layer.h_in * layer.var_in) ** 0.5)
            before = _silu_factor(act) * layer.var_out**0.5
    return factors


def _silu_factor(act) -> float:
    """c of a normalised activation c · silu."""
    require(act is not None, "a readout has no activation")
    x = torch.linspace(-3, 3, 7)
    silu = torch.nn.functional.silu(x)
    factor = float(act(x)[-1] / silu[-1])
    require(torch.allclose(act(x), factor * silu, atol=1e-12), "an activation is not silu")
    return factor


def _polynomial(contraction, l):
    """Monomials [terms, 4] of a symmetric contraction with outputs of one l, and a function that gives their coefficients.

    The function takes the contraction of a model and returns [1 or e, terms, C].
    """
    degree = contraction.correlation
    require(degree <= 3, f"its correlation is {degree}, more than 3")
    sums = {}
    for nu in range(1, degree + 1):
        u = contraction.U_tensors(nu)
        if not bool(u.abs().max() > 0) or _contraction_weight(contraction, nu).numel() == 0:
            continue
        if u.dim() == nu + 1:
            u = u[None]
        by_term = {}
        for index in (u.abs().amax(-1) > 1e-12).nonzero().tolist():
            key = (index[0], *sorted(index[1:]), *[-1] * (3 - nu))
            by_term[key] = by_term.get(key, 0.0) + u[tuple(index)]
        sums[nu] = {key: paths for key, paths in by_term.items() if float(paths.abs().max()) > 1e-10}
    keys = [key for terms in sums.values() for key in terms]
    require(keys, f"its products have no term for l = {l}")
    factors = {nu: torch.stack(list(terms.values())) for nu, terms in sums.items() if terms}
    order = torch.tensor(sorted(range(len(keys)), key=lambda at: keys[at]))

    def coefficients(contraction):
        parts = [torch.matmul(factor, _contraction_weight(contraction, nu)) for nu, factor in factors.items()]
        return torch.cat(parts, 1).index_select(1, order)

    return torch.tensor(sorted(keys), dtype=torch.int32), coefficients


def _contraction_weight(contraction, nu):
    """[e, paths, C] of degree nu."""
    degree = contraction.correlation
    return contraction.weights_max if nu == degree else contraction.weights[degree - 1 - nu]


def _readout(readout, heads: int):
    """Functions of a readout that give [C, 1], or [C, H] and [H, 1]; of the first head."""
    if isinstance(readout, modules.LinearReadoutBlock):
        irreps = readout.linear.irreps_in
        scalars, out = _single(irreps)[0], _single(readout.linear.irreps_out)
        entries = _matrix(readout.linear, {0: scalars}, out, 0, irreps)
        return [lambda r: entries(r.linear)[:, :1]]
    require(type(readout) is modules.NonLinearReadoutBlock, f"its readout is {type(readout).__name__}")
    first, second = readout.linear_1, readout.linear_2
    a = _matrix(first, _single(first.irreps_in), _single(first.irreps_out), 0, first.irreps_in)
    b = _matrix(second, _single(second.irreps_in), _single(second.irreps_out), 0, second.irreps_in)
    width = len(a.factor[0]) // heads
    (act,) = readout.non_linearity.acts
    factor = _silu_factor(act)
    return [lambda r: a(r.linear_1)[:, :width], lambda r: factor * b(r.linear_2)[:width, :1]]
