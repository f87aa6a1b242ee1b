"""Errors metal by metal: models trained or taken, each judged on the same frames that none was trained on; one model per metal beside one for all.

What is computed is kept as it comes: a training as ``models/<name>.mlff`` and its line in ``results.json``, an evaluation as a file in ``evaluations/``.
Frames are read metal by metal. Pictures and tables are made of these files alone (``errors_outcome``).
"""

import hashlib
import json
import math
import re
import time
import warnings
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from metalff.artifact import open_artifact
from metalff.data import NO_KEYS, Dataset, Stream, archive, layout, read, store, stream, write_extxyz
from metalff.data.metals import metal, metals
from metalff.data.selection import divide
from metalff.errors import MetalffError, nearest
from metalff.paths import atomic_write
from metalff.potentials import bundled_models, entries, resolve
from metalff.report.studies import is_row
from metalff.study import models as small
from metalff.study.trial import Trial, gathered, run
from metalff.train.splits import trajectory_of
from metalff.validate.compare import compare

SCHEMA = 1
"""Number of the layout of ``errors.json`` and of evaluations."""

BUNDLED = {
    "Li": "zuo2020-Li",
    "Ni": "zuo2020-Ni",
    "Cu": "zuo2020-Cu",
    "Nb": "li2020-Nb",
    "Mo": "zuo2020-Mo",
    "Ta": "li2020-Ta",
    "W": "li2020-W",
}
"""The bundled DFT that the bundled models of each metal were trained on."""

METAL43 = "metal43"
"""What the published set is called in a command; imported, it is ``Metal-43``."""

FRAMES = 200
"""Training frames of each metal, of data that are not bundled, unless told otherwise."""

POLY_METALS = 2
"""Metals of which one polynomial is still small enough: its functions grow with a power of their number."""

CALIBRATE = ((6, 1), (18, 2))
"""(frames, epochs) of the two short trainings that the time of the others is predicted from."""


@dataclass(frozen=True)
class Part:
    """The frames of one metal.

    Attributes:
        symbol: of the metal.
        train, test: what ``data.read`` takes; without ``train`` nothing is trained.
        name: of the data, as models that were trained on them say it.
    """

    symbol: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True)
class Model:
    """A column of the study.

    Attributes:
        name: in tables: ``nep``, ``eam``, or ``nep, universal``.
        family: ``nep``, ``mace``, ``eam``, … .
        universal: one file for all metals.
        specs: of each metal, what ``potentials.resolve`` takes.
        trials: that train it, by file; none of a model that is taken.
    """

    name: str
    family: str
    universal: bool
    specs: dict[str, str]
    trials: dict[str, Trial] = field(default_factory=dict)


def bundled_parts(symbols: list[str] | None) -> list[Part]:
    """The bundled DFT: training and test frames as their authors divided them."""
    chosen = _chosen(symbols, BUNDLED, "bundled DFT")
    return [Part(s, (f"{BUNDLED[s]}:train",), (f"{BUNDLED[s]}:test",), f"{BUNDLED[s]}:train") for s in chosen]


def _chosen(symbols, known, where: str) -> list[str]:
    for symbol in symbols or ():
        if symbol not in known:
            raise MetalffError(f"--elements {symbol}: no frames of it in {where}{nearest(symbol, known)}; there are {' '.join(known)}")
    return [symbol for symbol in known if not symbols or symbol in symbols]


def parts(data: str, symbols: list[str] | None, out: Path, fraction: float, frames: int | None, say=lambda text: None) -> list[Part]:
    """Training and test frames of each metal of a set, as files in ``out/data``; what is there of the same request and the same
    files is kept; of a source that has changed all is divided anew.

    Frames that the set calls ``train`` and ``test`` stay that (TM23). Else the last part of every trajectory is tested on, for consecutive frames are alike;
    trajectories of fewer than ``1 / fraction`` frames count as one.

    Args:
        data: ``bundled``, ``metal43``, the name of an imported set, a file or a folder.
        symbols: metals; all of the set when None.
        fraction: of the frames that is tested on; 1: all, and nothing is trained.
        frames: to train on, of each metal, evenly spaced; None for all.
        say: called with what is left out, in sentences.
    Raises:
        MetalffError: no such data, no metal in them, or ``out`` holds the study of other data.
    """
    if data == "bundled":
        return bundled_parts(symbols)
    name = data
    if data == METAL43:
        name = next((known for known in store.names() if known.lower() == "metal-43"), None)
        if name is None:
            raise MetalffError("Metal-43 is not imported; run: metalff data import Metal-43-Dataset.zip (docs/data.md), or give --data FOLDER")
    request = {"schema": SCHEMA, "data": data, "fraction": fraction, "frames": frames}
    folder, source = out / "data", _stamp(name)
    known = _begun(folder / "parts.json", request, out, source, say)
    sources = _sources(name)
    found = []
    for symbol in _chosen(symbols, [s for s in sources if s in metals()] or _no_metal(data), data):
        if not _is_there(known.get(symbol), symbol, folder):
            known[symbol] = _write_part(sources[symbol](), symbol, folder, fraction, frames, say)
            with atomic_write(folder / "parts.json") as stream:
                json.dump(request | {"source": source, "metals": known}, stream, indent=1)
        own = known[symbol]
        train = (str(folder / f"{symbol}-train.extxyz"),) if own["train"] else ()
        found.append(Part(symbol, train, (str(folder / f"{symbol}-test.extxyz"),), own["name"]))
    return found


def _no_metal(data):
    raise MetalffError(f"{data} has no frames of a metal that is known here; metals are {' '.join(metals())}")


def _stamp(name: str) -> str:
    """What tells whether a source has changed: names, sizes and times of its files; of an imported set, what its index says."""
    name = name if Path(name).exists() else divide(name)[0]
    path = Path(name)
    if path.is_dir():
        files = [(str(file.relative_to(path)), file.stat()) for file in sorted(path.rglob("*")) if file.is_file()]
        said = [(own, status.st_size, status.st_mtime_ns) for own, status in files]
    elif path.exists():
        said = [(path.stat().st_size, path.stat().st_mtime_ns)]
    else:
        said = store.index(name)["files"] if name in store.names() else []
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _is_there(own, symbol: str, folder: Path) -> bool:
    """Whether the files of a metal are those that were written."""
    try:
        return all(_sha256(folder / f"{symbol}-{which}.extxyz") == sha256 for which, sha256 in own["files"].items()) and "test" in own["files"]
    except (OSError, KeyError, TypeError, AttributeError):
        return False


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _begun(file: Path, request: dict, out: Path, source: str, say) -> dict:
    """Metals that are written already, of the source as it is."""
    try:
        found = json.loads(file.read_text("utf-8"))
        before = {key: found[key] for key in request}
        known = {symbol: dict(own) for symbol, own in found["metals"].items() if {"train", "test", "name"} <= set(own)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise MetalffError(f"{file} is damaged; remove {file.parent}, or choose another --out") from None
    if before != request:
        other = next(key for key in request if before[key] != request[key])
        raise MetalffError(f"{out} holds the study of other data (other {other}: {before[other]}); choose another --out")
    if found.get("source", source) != source:
        say(f"{request['data']} has changed since {out} was begun; its frames are divided anew")
        return {}
    return known


def _sources(name: str) -> dict:
    """Symbol → function that reads its frames, and no others where the set's files say what they hold."""
    path = Path(name)
    if path.is_dir() and (files := layout.files(path)) and not _several(path, files):
        said = layout.manifest(path).get("files", {})
        by_element = defaultdict(list)
        for file in files:
            by_element[layout.parse(file.name).element].append(file)

        def folder_part(symbol):
            sets = [layout.read_file(file, said.get(file.name, {}).get("phase", "")) for file in by_element[symbol]]
            return replace(sets[0], name=path.name, frames=tuple(frame for one in sets for frame in one))

        return {symbol: (lambda symbol=symbol: folder_part(symbol)) for symbol in sorted(by_element)}
    if name in store.names():
        symbols = sorted({entry["element"] for entry in store.index(name)["files"].values() if entry.get("frames")})
        return {symbol: (lambda symbol=symbol: store.load(name, element=(symbol,))) for symbol in symbols}
    if path.is_file() and path.suffix == ".zip":
        packed = archive.members(path)
        if all(member.name.temperature is not None for member in packed):
            return {symbol: (lambda symbol=symbol: _packed(path, symbol, packed)) for symbol in sorted({member.name.element for member in packed})}
        whole = stream(name).dataset()
    else:
        whole = read(name)
    return {symbol: (lambda symbol=symbol: whole.filter(element=symbol)) for symbol in whole.elements}


def _packed(path: Path, symbol: str, members: list[archive.Member]) -> Dataset:
    """The frames of a metal in an archive."""
    own = [member for member in members if member.name.element == symbol]
    return Stream(path.stem, lambda notes: archive.each_of(own, path.stem, NO_KEYS, notes)).dataset()


def _several(path: Path, files: list[Path]) -> bool:
    """Whether frames may stand in two files, or files are named in a manifest alone: then the folder is read as a whole."""
    names = {file.name for file in files}
    return any(layout.parse(file.name).temperature is None for file in files) or bool(set(layout.manifest(path).get("files", {})) - names)


def _write_part(dataset: Dataset, symbol: str, folder: Path, fraction: float, frames: int | None, say) -> dict:
    own = [frame for frame in dataset if frame.elements == [symbol]]
    if alloys := len(dataset) - len(own):
        say(f"{symbol}: {alloys} frames with other elements beside it are left out")
    if not own:
        raise MetalffError(f"{dataset.name}: every frame with {symbol} has other elements, too; leave it out of --elements")
    train, test = divided(own, fraction)
    if frames is not None and len(train) > frames:
        train = [train[round(k * (len(train) - 1) / max(frames - 1, 1))] for k in range(frames)]
    folder.mkdir(parents=True, exist_ok=True)
    if train:
        write_extxyz(train, folder / f"{symbol}-train.extxyz")
    write_extxyz(test, folder / f"{symbol}-test.extxyz")
    files = {which: _sha256(folder / f"{symbol}-{which}.extxyz") for which in ("train", "test")[0 if train else 1 :]}
    about = {"train": len(train), "test": len(test), "name": dataset.name, "sha256": replace(dataset, frames=tuple(own)).sha256}
    return about | {"files": files}


def divided(frames: list, fraction: float) -> tuple[list, list]:
    """Frames to train and to test on, as ``parts`` says.

    Raises:
        MetalffError: nothing is left to train on.
    """
    if fraction >= 1:
        return [], list(frames)
    splits = {frame.source.rpartition(":")[2] for frame in frames}
    if {"train", "test"} <= splits:
        return [f for f in frames if not f.source.endswith(":test")], [f for f in frames if f.source.endswith(":test")]
    runs = defaultdict(list)
    for position, frame in enumerate(frames):
        runs[trajectory_of(frame)].append(position)
    chosen, short = set(), []
    for positions in runs.values():
        if len(positions) * fraction < 1:
            short += positions
        else:
            chosen |= set(positions[-max(1, round(fraction * len(positions))) :])
    if short:
        chosen |= set(short[int(1 / fraction) - 1 :: max(2, round(1 / fraction))])
    train = [frame for k, frame in enumerate(frames) if k not in chosen]
    if not train or not chosen:
        raise MetalffError(f"{len(frames)} frames are too few to hold out {100 * fraction:g} % of them; give another --test-fraction")
    return train, [frame for k, frame in enumerate(frames) if k in chosen]


def settings_of(symbols: list[str], family: str, override: dict) -> dict:
    """The small model of ``study.models``; of several metals with the largest of their cutoffs."""
    own = [small.settings(symbol, family) for symbol in symbols]
    return own[0] | {key: max(one[key] for one in own) for key in ("r_max", "r_max_angular") if key in own[0]} | override


def trained(family: str, data: list[Part], out: Path, seed: int, override: dict, universal: bool, frames: int | None = None) -> Model:
    """A model per metal, or one for all, trained on ``data``.

    Args:
        frames: of each metal, evenly spaced; None for all.

    Raises:
        MetalffError: no training frames, or too many metals for one polynomial.
    """
    if lacking := [part.symbol for part in data if not part.train]:
        raise MetalffError(f"--test-fraction 1 leaves nothing to train {family} on ({' '.join(lacking)}); take models: --take, or give a smaller one")
    if universal and family == "poly" and len(data) > POLY_METALS:
        raise MetalffError(f"--universal poly: a polynomial of {len(data)} metals has too many functions; give nep or mace, or fewer --elements")
    groups = [data] if universal else [[part] for part in data]
    specs, trials = {}, {}
    for group in groups:
        symbols = [part.symbol for part in group]
        file = out / "models" / f"{''.join(symbols) if len(symbols) < 9 else f'all-{len(symbols)}'}-{family}.mlff"
        train, test = (tuple(spec for part in group for spec in getattr(part, which)) for which in ("train", "test"))
        labels = {"metal": " ".join(symbols), "model": "universal" if universal else "per element"}
        trials[str(file)] = Trial(family, settings_of(symbols, family, override), train, test, seed, frames and frames * len(group), labels)
        specs |= dict.fromkeys(symbols, str(file))
    return Model(f"{family}, universal" if universal else family, family, universal, specs, trials)


def taken(spec: str, data: list[Part], universal: bool, say=lambda text: None) -> Model:
    """A model that is there: of each metal ``{element}/spec``, or one for all; metals that it lacks are left out, and said.

    Args:
        spec: a family (``nep``, ``eam``), a template with ``{element}``, for universal models a name or a file, or a family.
    Raises:
        MetalffError: nothing for any metal.
    """
    symbols, specs, reasons = [part.symbol for part in data], {}, {}
    name = _bundled_universal(spec, symbols) if universal else spec
    for symbol in symbols:
        asked = name if universal else name.replace("{element}", symbol) if "{element}" in name else f"{symbol}/{name}"
        try:
            resolve(asked, [symbol])
            specs[symbol] = asked
        except MetalffError as error:
            reasons[symbol] = str(error)
    if not specs:
        raise MetalffError(f"{spec}: nothing for {' '.join(symbols)} ({next(iter(reasons.values()))})")
    if reasons:
        say(f"{spec}: none for {' '.join(reasons)}, which {'is' if len(reasons) == 1 else 'are'} left out of it")
    short = re.sub(r"[-_/ ]*\{element\}[-_/ ]*", "", Path(name).name.removesuffix(".mlff")) or name
    family = _family(next(iter(specs.values())), short)
    return Model(f"{family}, universal" if universal and name in bundled_models() else short, family, universal, specs)


def _bundled_universal(spec: str, symbols: list[str]) -> str:
    """The name of the bundled model of several metals of a family; another spec as it is."""
    if "/" in spec or spec.endswith(".mlff") or spec not in {path.stem.rpartition("-")[2] for path in bundled_models().values()}:
        return spec
    several = [name for name in bundled_models() if name.endswith(f"/{spec}") and len(re.findall("[A-Z][a-z]?", name)) > 1]
    if not several:
        raise MetalffError(f"--universal {spec}: no model of several metals is bundled; train one: --train, or give a file")
    return max(several, key=lambda name: sum(symbol in re.findall("[A-Z][a-z]?", name) for symbol in symbols))


def _family(spec: str, otherwise: str) -> str:
    if spec in entries():
        return entries()[spec].kind
    return open_artifact(spec, whole=False).manifest.family if spec.endswith(".mlff") else otherwise


def trained_on(spec: str, part: Part) -> bool | None:
    """Whether a model says that it was trained on the training frames of this part; None where it says nothing."""
    path = bundled_models().get(spec, Path(spec))
    if path.suffix != ".mlff":
        return None
    said = open_artifact(path, whole=False).manifest.training.data
    return part.name in said.split(" + ") if said else None


def file_of(out: Path, model: Model, symbol: str) -> Path:
    """Where the evaluation of a model on a metal is kept."""
    return out / "evaluations" / f"{re.sub(r'[^A-Za-z0-9.+-]+', '-', model.name)}-{symbol}.json"


def _asked(spec: str, part: Part):
    """The potential, the test frames, and what their evaluation is known by."""
    potential, test = resolve(spec, [part.symbol]), gathered(part.test)
    return potential, test, {"schema": SCHEMA, "sha256": potential.sha256, "test": test.sha256}


def kept(spec: str, part: Part, file: Path, about: dict) -> dict | None:
    """An evaluation that is in ``file``, of this very model and these frames; see ``evaluate``."""
    *_, key = _asked(spec, part)
    try:
        found = json.loads(file.read_text("utf-8"))
        if {k: found[k] for k in key} == key and _is_evaluation(found):
            return found | {"rows": [row | about for row in found["rows"]]}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _is_evaluation(found: dict) -> bool:
    """Whether what ``evaluate`` gave is whole; its first row is over all frames."""
    rows = found["rows"]
    if not (isinstance(found["potential"], dict) and isinstance(found["seconds"], (int, float)) and rows and all(map(is_row, rows))):
        return False
    return (rows[0]["temperature"], rows[0]["group"], rows[0]["frames"]) == (None, "", found["frames"])


def evaluate(spec: str, part: Part, file: Path, about: dict) -> dict:
    """Errors of one model on the test frames of one metal, computed and kept in ``file``.

    Args:
        about: keys of every row: ``element``, ``model``, ``family``, ``universal``, ``trained_on_these``.
    Returns:
        ``potential`` (its record), ``test`` (hash of the frames), ``frames``, ``seconds`` and ``rows``: over all frames (``temperature`` None and ``group``
        empty), at each temperature (K), and of each group. Forces in eV/Å, energies in eV/atom after one offset for the metal, stresses in eV/Å³.
    Raises:
        MetalffError: see ``validate.compare.compare``.
    """
    potential, test, key = _asked(spec, part)
    start = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (result,) = compare([potential], test)
    said = list(dict.fromkeys(str(one.message) for one in caught if issubclass(one.category, UserWarning)))
    rows = [row(result.overall, None, "")]
    rows += [row(found, float(t), "") for t, found in result.by_temperature.items()]
    rows += [row(found, None, group) for group, found in result.by_group.items()]
    content = key | {"potential": potential.record(), "frames": len(test), "seconds": round(time.monotonic() - start, 2), "warnings": said}
    content |= {"rows": [about | one for one in rows]}
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as stream:
        json.dump(content, stream, indent=1, allow_nan=False)
    return content


def row(found, temperature: float | None, group: str) -> dict:
    """One line of ``errors.json`` of ``validate.metrics.Metrics``."""
    share, force = found.force_rmse_normalised, found.force_rmse
    line = {"temperature": temperature, "group": group, "frames": found.frames, "atoms": found.atoms, "force_rms": found.force_rms_reference}
    line |= {"force_rmse": force.value, "force_rmse_low": force.low, "force_rmse_high": force.high}
    line |= {
        "force_mae": found.force_mae.value,
        "normalised": share and share.value,
        "normalised_low": share and share.low,
        "normalised_high": share and share.high,
    }
    line |= {"energy_rmse_offset": found.energy_rmse_offset.value, "stress_rmse": found.stress_rmse and found.stress_rmse.value}
    return {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in line.items()}


def work_of(trial: Trial, frames: int | None = None) -> float:
    """What a training costs, but for its family: atoms × epochs."""
    data = gathered(trial.train)
    atoms = sum(map(len, data)) / len(data)
    return atoms * (frames or trial.frames or len(data)) * trial.settings.get("max_epochs", 1)


def training_pace(trial: Trial, known: dict, rows: list[dict], work: Path) -> list[float]:
    """[fixed s, s per unit of ``work_of``] of a family with so many metals: of its trainings so far, or of two short ones, deployed, which take their time.

    Args:
        known: of earlier calls, by family and number of metals; extended.
        rows: results so far.
    """
    count = _metals(trial.labels)
    name = f"{trial.family}, {count} metals" if count > 1 else trial.family
    own = [r for r in rows if r["family"] == trial.family and _metals(r["labels"]) == count and r.get("work")]
    if own:
        known[name] = [known.get(name, [0.0])[0], sum(r["seconds"] for r in own) / sum(r["work"] for r in own)]
    elif name not in known:
        points = []
        for frames, epochs in CALIBRATE:
            limited = {"max_epochs": epochs} if "max_epochs" in trial.settings else {}
            short = replace(trial, settings=trial.settings | limited, frames=min(frames, len(gathered(trial.train))))
            start = time.monotonic()
            seconds = run(short, work, keep=work / f"{short.key}.mlff")["seconds"]
            points.append((work_of(short), seconds, time.monotonic() - start - seconds))
        (w0, s0, _), (w1, s1, around) = points
        slope = (s1 - s0) / (w1 - w0) if w1 > w0 and s1 > s0 else s1 / w1
        known[name] = [around + max(s0 - slope * w0, 0.0), slope]
    return known[name]


def _metals(labels: dict) -> int:
    return len(labels["metal"].split())


def evaluation_pace(spec: str, part: Part) -> float:
    """Seconds per atom, of one frame after another that opens the model."""
    test = gathered(part.test)
    calculator = resolve(spec, [part.symbol]).calculator()
    try:
        for frame in (test.frames[0], test.frames[-1]):
            atoms = frame.to_atoms()
            atoms.calc = calculator
            start = time.monotonic()
            atoms.get_forces()
        return (time.monotonic() - start) / len(test.frames[-1])
    finally:
        if hasattr(calculator, "close"):
            calculator.close()


def relative(temperature: float | None, symbol: str) -> float:
    """Temperature over the melting temperature of the metal; NaN where it is not known."""
    return math.nan if temperature is None else temperature / metal(symbol).melting_temperature
