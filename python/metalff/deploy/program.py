"""Programs of a deployed model as plain data, and back: a graph of operators from a closed list, and arrays.

A payload is a deflated zip of two members:

- ``graph.json``: by name of a program its inputs, ``[name, dtype, shape]`` with the names of ``SIZES`` for sizes that vary; its nodes,
  ``[operator, arguments, keywords]``; its outputs, numbers of nodes. Inputs are the first nodes. An argument is null, true, false, a
  number, ``{"n": k}`` for the value of node k, ``{"f": "inf"}``, ``{"dtype": "float64"}`` and the like, or a list of arguments.
- ``weights.safetensors``: the arrays that the node ``["constant", [name], {}]``, or ``["constant", [name, axes], {}]`` where they are to
  be permuted, names, each once.

Nothing in it is ever executed or evaluated as text: ``load`` takes every operator from ``OPERATORS`` or ``ARITHMETIC``, and sizes are
nodes (a size of an input, times and plus integers), so no expression is parsed. torch.export's own archives are not like that: they may
hold pickles, names of classes, and strings that sympy evaluates.

Workers import this file inside a family's environment, where MetalFF is not installed: it needs torch alone.
"""

import io
import json
import math
import operator
import struct
import zipfile

import torch

FORMAT = 1
GRAPH, WEIGHTS = "graph.json", "weights.safetensors"

SIZES = ("edges", "nodes", "centres")
"""Sizes that vary, each at least 2; as dimensions of the inputs."""

EXAMPLE = {"edges": 61, "nodes": 17, "centres": 7}
"""Sizes that a program is traced with: primes, as torch.export takes numbers that equal a width of the model for it."""

LARGEST = {"graph": 1 << 26, "weights": 1 << 29, "nodes": 200_000, "array": 1 << 25}
"""Bytes of the members; nodes of a program; elements of any array within it at the sizes of ``EXAMPLE``."""

DEPTH = 8
"""Lists within lists of an argument."""

ARITHMETIC = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv, "getitem": operator.getitem}
"""Of sizes, and the parts of an operator's several results."""

# Functions of arrays and numbers alone: no file, no random number, no other device, no custom code, no view by raw strides.
OPERATORS = frozenset(
    """
    _adaptive_avg_pool2d.default _log_softmax.default _log_softmax_backward_data.default _softmax.default
    _softmax_backward_data.default _to_copy.default _unsafe_view.default abs.default acos.default acosh.default add.Scalar
    add.Tensor add_.Scalar add_.Tensor addbmm.default addcdiv.default addcmul.default addmm.default addmv.default alias.default
    all.default all.dim amax.default amin.default any.default any.dim arange.default arange.start arange.start_step
    argmax.default argmin.default argsort.default asin.default asinh.default atan.default atan2.default atanh.default baddbmm.default
    bitwise_and.Scalar bitwise_and.Tensor bitwise_not.default bitwise_or.Scalar bitwise_or.Tensor bitwise_xor.Tensor bmm.default
    bucketize.Tensor cat.default ceil.default celu.default clamp.Tensor clamp.default clamp_max.default clamp_max.Tensor clamp_min.default
    clamp_min.Tensor clone.default constant_pad_nd.default copy.default copy_.default cos.default cosh.default cross.default
    cumprod.default cumsum.default deg2rad.default detach.default diag_embed.default diagonal.default diagonal_backward.default
    diagonal_copy.default diagonal_scatter.default diff.default digamma.default div.Scalar div.Scalar_mode div.Tensor div.Tensor_mode
    div_.Scalar div_.Tensor dot.default einsum.default elu.default elu_backward.default embedding.default embedding_dense_backward.default
    empty.memory_format empty_like.default empty_permuted.default eq.Scalar eq.Tensor erf.default erfc.default exp.default exp2.default
    expand.default expm1.default eye.default eye.m fill.Scalar fill.Tensor fill_.Scalar fill_.Tensor flip.default floor.default
    floor_divide.default fmax.default fmin.default fmod.Scalar fmod.Tensor frac.default full.default full_like.default gather.default
    ge.Scalar ge.Tensor gelu.default gelu_backward.default glu.default glu_backward.default gt.Scalar gt.Tensor hardsigmoid.default
    hardsigmoid_backward.default hardswish.default hardswish_backward.default hardtanh.default hardtanh_backward.default hypot.default
    i0.default index.Tensor index_add.default index_add_.default index_copy.default index_fill.int_Scalar index_put.default
    index_put_.default index_select.default isfinite.default isinf.default isnan.default kron.default le.Scalar le.Tensor
    leaky_relu.default leaky_relu_backward.default lerp.Scalar lerp.Tensor lgamma.default lift_fresh_copy.default linalg_cross.default
    linalg_vector_norm.default linear.default log.default log10.default log1p.default log2.default log_sigmoid_backward.default
    log_sigmoid_forward.default logaddexp.default logical_and.default logical_and_.default logical_not.default logical_or.default
    logical_xor.default logsumexp.default lt.Scalar lt.Tensor masked_fill.Scalar masked_fill.Tensor masked_fill_.Scalar
    masked_fill_.Tensor matmul.default max.default max.dim maximum.default mean.default mean.dim min.default min.dim minimum.default
    mish.default mish_backward.default mm.default movedim.int movedim.intlist mul.Scalar mul.Tensor mul_.Scalar mul_.Tensor mv.default
    nan_to_num.default native_layer_norm.default native_layer_norm_backward.default ne.Scalar ne.Tensor neg.default nonzero.default new_empty.default
    new_empty_strided.default new_full.default new_ones.default new_zeros.default norm.ScalarOpt_dim one_hot.default ones.default
    ones_like.default outer.default permute.default pow.Scalar pow.Tensor_Scalar pow.Tensor_Tensor prod.default prod.dim_int
    reciprocal.default relu.default remainder.Scalar remainder.Tensor repeat.default repeat_interleave.self_int reshape.default
    roll.default round.default rsqrt.default rsub.Scalar rsub.Tensor scalar_tensor.default scatter.src scatter.value scatter_.src
    scatter_.value scatter_add.default scatter_add_.default scatter_reduce.two select.int select_backward.default
    select_scatter.default sgn.default sigmoid.default sigmoid_backward.default sign.default silu.default silu_backward.default
    sin.default sinc.default sinh.default slice.Tensor slice_backward.default slice_scatter.default softplus.default
    softplus_backward.default sort.default special_expm1.default split.Tensor split_with_sizes.default sqrt.default square.default
    squeeze.default squeeze.dim squeeze.dims stack.default std.correction sub.Scalar sub.Tensor sub_.Scalar sub_.Tensor sum.default
    sum.dim_IntList sym_size.int t.default take_along_dim.default tan.default tanh.default tanh_backward.default threshold.default
    threshold_backward.default topk.default trace.default transpose.int tril.default triu.default trunc.default unbind.int unfold.default
    unsqueeze.default var.correction var_mean.correction view.default where.ScalarOther where.ScalarSelf where.self xlogy.Tensor
    zero.default zero_.default zeros.default zeros_like.default
    """.split()
)
"""Overloads of ``torch.ops.aten`` that a program may use."""

CHECKS = frozenset({"_assert_scalar", "_assert_async", "_assert_tensor_metadata", "sym_constrain_range", "sym_constrain_range_for_size"})
"""Overload packets that only check sizes; a program is traced anew, with checks of its own."""

DTYPES = {"F64": torch.float64, "F32": torch.float32, "I64": torch.int64, "I32": torch.int32, "BOOL": torch.bool}
"""Of safetensors."""

NAMES = {
    "dtype": {
        str(t).removeprefix("torch."): t
        for t in (torch.float64, torch.float32, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
    },
    "layout": {"strided": torch.strided},
    "device": {"cpu": torch.device("cpu")},
    "memory_format": {
        str(f).removeprefix("torch."): f for f in (torch.contiguous_format, torch.preserve_format, torch.channels_last, torch.channels_last_3d)
    },
}
"""Arguments that are neither numbers nor arrays."""


class ProgramError(ValueError):
    """What is wrong with a payload, or what a model does that no payload can hold; a part of a sentence."""


# --- writing


def pack(programs: dict[str, "torch.export.ExportedProgram"]) -> bytes:
    """Exported programs by name → the payload.

    Raises:
        ProgramError: an operator that is not in the list, or an array of a type that has no place there.
    """
    arrays, graphs = {}, {}
    for name, exported in programs.items():
        graphs[name] = _Writer(exported, arrays).written()
    text = json.dumps({"format": FORMAT, "programs": graphs}, separators=(",", ":")).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in ((GRAPH, text), (WEIGHTS, safetensors(dict(arrays.values())))):
            info = zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0))  # equal contents give equal files
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return packed.getvalue()


class _Writer:
    """One program; ``arrays`` (contents → name, tensor) are those of the whole payload."""

    def __init__(self, exported, arrays: dict):
        self.exported, self.arrays = exported, arrays
        self.place: dict = {}  # of nodes of torch.fx
        self.nodes: list = []
        self.sizes: dict = {}

    def written(self) -> dict:
        signature = self.exported.graph_signature
        kept = _needed(self.exported.graph)
        placeholders = [node for node in self.exported.graph.nodes if node.op == "placeholder"]
        inputs = [node for node in placeholders if node.name in signature.user_inputs]
        edge_vec, _, types, mask = (node.meta["val"].shape[0] for node in inputs[:4])
        self.sizes = {str(edge_vec): "edges", str(types): "nodes", str(mask): "centres"}  # by symbol; later inputs have the same
        for node in inputs:
            self._put(node, None)
        for node in placeholders:
            if node not in inputs and node in kept:
                self._put(node, ["constant", self._array(self._held(signature, node.name)), {}])
        for node in self.exported.graph.nodes:
            if node.op == "call_function" and node in kept:
                arguments = [self._argument(value) for value in node.args]
                self._put(node, [_name(node.target), arguments, {key: self._argument(value) for key, value in node.kwargs.items()}])
        (result,) = next(node for node in self.exported.graph.nodes if node.op == "output").args
        return {
            "inputs": [self._input(node) for node in inputs],
            "nodes": self.nodes,
            "outputs": [self.place[node] for node in result],
        }

    def _put(self, node, written) -> None:
        self.place[node] = len(self.place)
        if written is not None:
            self.nodes.append(written)

    def _held(self, signature, name: str):
        fqn = (signature.inputs_to_parameters | signature.inputs_to_buffers | signature.inputs_to_lifted_tensor_constants).get(name)
        held = self.exported.state_dict.get(fqn, self.exported.constants.get(fqn))
        if not isinstance(held, torch.Tensor):
            raise ProgramError(f"it holds an object that is no array ({name})")
        return held.detach()

    def _array(self, tensor) -> list:
        """Name of an array, and the order of its axes where it lies in memory in another one: views of it depend on that."""
        if tensor.dtype not in DTYPES.values():
            raise ProgramError(f"it holds an array of {tensor.dtype}")
        inner = sorted(range(tensor.dim()), key=lambda axis: -tensor.stride(axis))
        if not tensor.permute(inner).is_contiguous():
            inner = list(range(tensor.dim()))
        data = tensor.cpu().permute(inner).contiguous()
        key = str(data.dtype), tuple(data.shape), data.numpy().tobytes()
        name, _ = self.arrays.setdefault(key, (f"a{len(self.arrays)}", data))
        return [name] if inner == sorted(inner) else [name, [inner.index(axis) for axis in range(tensor.dim())]]

    def _input(self, node) -> list:
        value = node.meta["val"]
        shape = [size if isinstance(size, int) else self.sizes[str(size)] for size in value.shape]
        return [node.name, str(value.dtype).removeprefix("torch."), shape]

    def _argument(self, value):
        if isinstance(value, torch.fx.Node):
            return {"n": self.place[value]}
        if isinstance(value, (list, tuple)):
            return [self._argument(part) for part in value]
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"f": repr(value)}
        if isinstance(value, slice):
            raise ProgramError("it slices outside of an operator")
        for kind, names in NAMES.items():
            for name, known in names.items():
                if type(value) is type(known) and value == known:
                    return {kind: name}
        raise ProgramError(f"an operator takes {value!r}")


def _needed(graph) -> set:
    """Nodes that the outputs depend on; what works in place on such a node is needed, too."""
    nodes = [node for node in graph.nodes if not (node.op == "call_function" and _packet(node.target) in CHECKS)]
    kept = set()
    for node in reversed(nodes):
        works_in_place = isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable
        if node.op == "output" or works_in_place or any(user in kept for user in node.users):
            kept.add(node)
    return kept


def _packet(target) -> str:
    return target._schema.name.split("::")[1] if isinstance(target, torch._ops.OpOverload) else getattr(target, "__name__", "")


def _name(target) -> str:
    for name, function in ARITHMETIC.items():
        if target is function:
            return name
    if isinstance(target, torch._ops.OpOverload) and target.namespace == "aten":
        name = str(target).removeprefix("aten.")
        if name in OPERATORS:
            return f"aten.{name}"
    raise ProgramError(f"it uses the operator {target}, which a deployed model may not")


def safetensors(tensors: dict, metadata: dict[str, str] | None = None) -> bytes:
    """Named tensors in the safetensors layout: an 8-byte length, a JSON header, raw little-endian data."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    header, blobs, offset = {"__metadata__": metadata} if metadata else {}, [], 0
    for name, tensor in tensors.items():
        data = tensor.detach().cpu().contiguous().numpy().tobytes()
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        blobs.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(blobs)


# --- reading


def names(payload: bytes) -> list[str]:
    """Names of the programs in a payload.

    Raises:
        ProgramError: it is no payload.
    """
    return sorted(_graphs(payload))


def sizes(payload: bytes) -> dict[str, int]:
    """Nodes of each program in a payload; raises like ``names``."""
    return {name: len(graph["nodes"]) for name, graph in _graphs(payload).items()}


def load(payload: bytes, name: str) -> "torch.export.ExportedProgram":
    """One program of a payload, traced anew, for any sizes of at least 2.

    Raises:
        ProgramError: the payload is damaged, or asks for what no program may do.
    """
    graphs = _graphs(payload)
    if name not in graphs:
        raise ProgramError(f"it has no program '{name}'")
    arrays = read_safetensors(_member(payload, WEIGHTS, LARGEST["weights"]))
    try:
        return _Reader(graphs[name], arrays).program()
    except ProgramError as error:
        raise ProgramError(f"program '{name}': {error}") from None


def read_header(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file; raises like ``read_safetensors``."""
    return _header(data)[0].get("__metadata__", {})


def read_safetensors(data: bytes) -> dict:
    """Named tensors of a safetensors file.

    Raises:
        ProgramError: it is none.
    """
    header, start = _header(data)
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            dtype, shape, (begin, end) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
            fits = all(type(n) is int and n >= 0 for n in (*shape, begin, end)) and begin <= end <= len(data) - start
            if not fits or end - begin != math.prod(shape) * dtype.itemsize:
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise ProgramError(f"its array {name[:40]!r} is not as its header says") from None
        part = bytearray(data[start + begin : start + end])
        tensors[name] = (torch.frombuffer(part, dtype=dtype) if part else torch.empty(0, dtype=dtype)).reshape(shape)
    return tensors


def _header(data: bytes) -> tuple[dict, int]:
    try:
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length].decode())
        if length > len(data) - 8 or not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
            raise ValueError
    except (struct.error, ValueError, RecursionError):
        raise ProgramError("its arrays are no safetensors file") from None
    return header, 8 + length


def _graphs(payload: bytes) -> dict:
    try:
        read = json.loads(_member(payload, GRAPH, LARGEST["graph"]))
        if type(read) is not dict or set(read) != {"format", "programs"} or type(read["programs"]) is not dict:
            raise ValueError
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, ProgramError) else ProgramError("its graph is no JSON of programs") from None
    if read["format"] != FORMAT:
        raise ProgramError(f"its programs are of format {str(read['format'])[:20]}, this MetalFF reads {FORMAT}")
    for name, graph in read["programs"].items():
        if not (name.isascii() and name.isalnum()) or len(name) > 40:
            raise ProgramError(f"a program has the name {name[:40]!r}")
        if type(graph) is not dict or set(graph) != {"inputs", "nodes", "outputs"} or any(type(part) is not list for part in graph.values()):
            raise ProgramError(f"its program '{name}' is not inputs, nodes and outputs")
    return read["programs"]


def _member(payload: bytes, name: str, most: int) -> bytes:
    """Bytes of a member, unpacked as far as allowed."""
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as packed:
            if sorted(packed.namelist()) != [GRAPH, WEIGHTS]:
                raise ProgramError(f"it holds other things than {GRAPH} and {WEIGHTS}: {', '.join(packed.namelist())[:80]}")
            size = packed.getinfo(name).file_size
            if size > most:
                raise ProgramError(f"{name} has {size} bytes unpacked; no more than {most} are read")
            with packed.open(name) as stream:
                data = stream.read(most)
        if len(data) != size:
            raise ValueError
        return data
    except ProgramError:
        raise
    except Exception as error:  # what zipfile and zlib raise depends on the byte that is wrong
        raise ProgramError("its programs cannot be unpacked") from error


class _Reader:
    """One graph of ``graph.json`` → a program, by torch.fx and torch.export's public functions."""

    def __init__(self, graph: dict, arrays: dict):
        self.graph, self.arrays = graph, arrays
        self.root, self.fx = torch.nn.Module(), torch.fx.Graph()
        self.values: list = []

    def program(self):
        if len(self.graph["nodes"]) > LARGEST["nodes"]:
            raise ProgramError(f"it has {len(self.graph['nodes'])} nodes")
        examples, shapes = [], []
        dims = {size: torch.export.Dim(size, min=2) for size in SIZES}
        for entry in self.graph["inputs"]:
            name, dtype, shape = self._input(entry)
            self.values.append(self.fx.placeholder(name))
            examples.append(torch.zeros([EXAMPLE.get(size, size) for size in shape], dtype=dtype))
            shapes.append({axis: dims[size] for axis, size in enumerate(shape) if size in dims})
        for entry in self.graph["nodes"]:
            self.values.append(self._node(entry))
        self.fx.output(tuple(self._value(k) for k in self.graph["outputs"]))
        module = torch.fx.GraphModule(self.root, self.fx)
        try:
            exported = torch.export.export(
                module, tuple(examples), dynamic_shapes=tuple(shapes), strict=False, prefer_deferred_runtime_asserts_over_guards=True
            )
        except Exception as error:  # whatever an operator says of arguments that do not suit it
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ProgramError(f"torch cannot trace it ({lines[0][:200]})") from error
        _bounded(exported)
        return exported

    def _input(self, entry) -> tuple:
        if type(entry) is not list or len(entry) != 3 or type(entry[0]) is not str or not entry[0].isidentifier() or type(entry[2]) is not list:
            raise ProgramError("an input is not name, type and shape")
        if type(entry[1]) is not str or entry[1] not in NAMES["dtype"]:
            raise ProgramError(f"an input is of type {str(entry[1])[:40]}")
        for size in entry[2]:
            if not (size in SIZES if type(size) is str else type(size) is int and 0 <= size < 1 << 20):
                raise ProgramError(f"an input has the size {str(size)[:40]}; sizes are integers, {', '.join(SIZES)}")
        return entry[0], NAMES["dtype"][entry[1]], entry[2]

    def _node(self, entry):
        if type(entry) is not list or len(entry) != 3 or type(entry[0]) is not str or type(entry[1]) is not list or type(entry[2]) is not dict:
            raise ProgramError("a node is not operator, arguments and keywords")
        name, arguments, keywords = entry
        if name == "constant":
            if keywords or not arguments or type(arguments[0]) is not str or arguments[0] not in self.arrays:
                raise ProgramError(f"it names an array that is not there: {str(arguments)[:60]}")
            array, axes = self.arrays[arguments[0]], arguments[1:]
            if axes and not (len(axes) == 1 and _is_order(axes[0], array.dim())):
                raise ProgramError(f"it permutes an array by {str(axes)[:60]}, which is no order of its axes")
            attribute = f"constant{len(self.values)}"
            self.root.register_buffer(attribute, array.permute(axes[0]) if axes else array)
            return self.fx.get_attr(attribute)
        words = {key: self._argument(value) for key, value in keywords.items() if key.isidentifier()}
        if len(words) != len(keywords):
            raise ProgramError("an operator has a keyword that is no name")
        return self.fx.call_function(_function(name), tuple(self._argument(value) for value in arguments), words)

    def _argument(self, value, depth: int = 0):
        if value is None or type(value) in (bool, float):
            return value
        if type(value) is int and abs(value) < 1 << 63:
            return value
        if type(value) is list and depth < DEPTH:
            return [self._argument(part, depth + 1) for part in value]
        if type(value) is dict and len(value) == 1:
            ((kind, what),) = value.items()
            if kind == "n":
                return self._value(what)
            if kind == "f" and what in ("inf", "-inf", "nan"):
                return float(what)
            if kind in NAMES and type(what) is str and what in NAMES[kind]:
                return NAMES[kind][what]
        raise ProgramError(f"an operator takes {json.dumps(value)[:60]}, which is no argument")

    def _value(self, k):
        if type(k) is not int or not 0 <= k < len(self.values):
            raise ProgramError(f"it uses the value of node {str(k)[:20]}, which comes later or never")
        return self.values[k]


def _is_order(axes, count: int) -> bool:
    return type(axes) is list and all(type(axis) is int for axis in axes) and sorted(axes) == list(range(count))


def _function(name: str):
    if name in ARITHMETIC:
        return ARITHMETIC[name]
    if name.startswith("aten.") and (overload := name.removeprefix("aten.")) in OPERATORS:
        packet, _, kind = overload.partition(".")
        found = getattr(getattr(torch.ops.aten, packet, None), kind, None)
        if found is None:
            raise ProgramError(f"it uses the operator {name}, which torch {torch.__version__} lacks")
        return found
    raise ProgramError(f"it uses the operator {name[:60]!r}, which a deployed model may not")


def _bounded(exported) -> None:
    """No array grows beyond what a model of atoms needs, so that a program cannot take all memory."""
    for node in exported.graph.nodes:
        value = node.meta.get("val")
        for part in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(part, torch.Tensor):
                count = math.prod(_hint(size) for size in part.shape)
                if count > LARGEST["array"]:
                    raise ProgramError(f"an array of {count} elements arises for {EXAMPLE['edges']} edges")


def _hint(size) -> int:
    """A size in the trace; that of a mask's entries, which only values tell, counts as nothing."""
    if isinstance(size, int):
        return size
    return int(size.node.hint or 0) if size.node.has_hint() else 0
