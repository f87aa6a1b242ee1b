"""Validations of sets that pass by batch by batch: the numbers are those of all frames at once."""

from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pandas
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from metalff import data
from metalff.cli import build_app
from metalff.data import Dataset, layout
from metalff.errors import MetalffError
from metalff.potentials import per_element, resolve
from metalff.potentials.per_element import for_elements
from metalff.validate import compare as comparing
from metalff.validate import evaluate, forces, uncertainty, unfinished
from metalff.validate.compare import compare
from metalff.validate.forces import Forces
from metalff.validate.metrics import metrics
from metalff.validate.reference import CELL_DECIMALS, reference_of, trajectories_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Copper and nickel at two temperatures each, frames with and without a stress, of several sizes."""
    out = tmp_path_factory.mktemp("sets") / "two"
    for symbol in ("Cu", "Ni"):
        frames = data.read(f"zuo2020-{symbol}:test").frames
        frames = [replace(frame, stress=None) if k % 5 == 3 else frame for k, frame in enumerate(frames)]
        layout.write_file(frames[:9], out / layout.file_name(symbol, "fcc", 300))
        layout.write_file(frames[9:], out / layout.file_name(symbol, "fcc", 900))
    return out


@pytest.fixture(scope="module")
def potentials():
    return [per_element("{element}/eam", ("Ni", "Cu")), resolve("LiNiCuNbMoTaW/nep")]


@pytest.fixture(scope="module")
def in_memory(folder, potentials):
    """Per potential its energies, forces and stresses, frame by frame; each by a call of its calculator."""
    found = []
    for potential in potentials:
        calculator, own = potential.calculator(), []
        for frame in data.read(folder):
            atoms = frame.to_atoms()
            atoms.calc = calculator
            stress = None if frame.stress is None else atoms.get_stress(voigt=False)
            own.append((atoms.get_potential_energy(), atoms.get_forces(), stress))
        found.append(tuple(zip(*own)))
    return found


def numbers(result):
    shown = {"overall": asdict(result.overall), "groups": result.groups, "offset": result.energy_offset}
    for name in ("by_temperature", "by_group", "by_element", "by_condition"):
        shown[name] = {str(key): asdict(value) for key, value in getattr(result, name).items()}
    return pandas.json_normalize(shown).iloc[0].to_dict()


def same(one, other, rel=1e-12):
    one, other = numbers(one), numbers(other)
    assert list(one) == list(other)
    for key, value in one.items():
        assert other[key] == (value if value is None or value != value else pytest.approx(value, rel=rel, abs=1e-13)), key


@pytest.mark.filterwarnings("ignore:two atoms")
def test_tiny_batches_and_processes_give_the_numbers_of_all_frames_at_once(folder, potentials, in_memory, monkeypatch):
    frames = data.read(folder).frames
    at_once = compare(potentials, data.read(folder))
    monkeypatch.setattr(comparing, "BATCH", 1)
    for jobs in (1, 2):
        streamed = compare(potentials, data.stream(folder), jobs=jobs)
        for one, other in zip(at_once, streamed, strict=True):
            same(one, other)
    reference = reference_of(data.stream(folder))
    for result, (energy, predicted, stress) in zip(at_once, in_memory, strict=True):
        shift = reference.counts @ [result.energy_offset["Ni"], result.energy_offset["Cu"]]
        labels = ([frame.energy for frame in frames], energy, [f.forces for f in frames], predicted, [f.stress for f in frames], stress)
        whole = metrics(*labels, shift, trajectories=trajectories_of(frames))
        assert asdict(result.overall) == {k: pytest.approx(v, rel=1e-9) if v is not None else None for k, v in asdict(whole).items()}


@pytest.mark.filterwarnings("ignore:two atoms")
def test_forces_of_all_frames_go_to_one_file(folder, potentials, in_memory, tmp_path, monkeypatch):
    monkeypatch.setattr(forces, "ROWS", 300)
    monkeypatch.setattr(comparing, "BATCH", 1)
    reference, dataset = reference_of(data.stream(folder)), data.read(folder)
    with Forces(reference, potentials, tmp_path / "not" / "there") as kept, open(tmp_path / "forces.parquet", "wb") as stream:
        compare(potentials, data.stream(folder), reference=reference, keep=kept)
        kept.copy(stream)
        assert np.array_equal(kept.labels, np.concatenate([frame.forces.ravel() for frame in dataset]))
        assert not (tmp_path / "not").exists()
    file = pyarrow.parquet.ParquetFile(tmp_path / "forces.parquet")
    groups = [file.read_row_group(k).to_pandas() for k in range(file.num_row_groups)]
    assert len(groups) > 4 and all(group.potential.nunique() == 1 and len(group) < 500 for group in groups)
    table = pandas.concat(groups)
    for potential, (_, predicted, _) in zip(potentials, in_memory, strict=True):
        own = table[table.potential == potential.name]
        assert np.array_equal(own.frame, np.repeat(np.arange(len(dataset)), [len(frame) for frame in dataset]))
        assert own[[f"predicted_f{x}" for x in "xyz"]].to_numpy() == pytest.approx(np.concatenate(predicted), abs=1e-9)
        assert np.array_equal(own[[f"reference_f{x}" for x in "xyz"]], np.concatenate([frame.forces for frame in dataset]))


@pytest.mark.filterwarnings("ignore:two atoms")
def test_a_large_set_keeps_evenly_spaced_frames_and_a_density_of_all(folder, potentials, in_memory, tmp_path, monkeypatch):
    reference = reference_of(data.stream(folder))
    monkeypatch.setattr(forces, "ATOMS", int(reference.atoms.sum()) // 3)
    monkeypatch.setattr(forces, "DRAWN", 100)
    monkeypatch.setattr(comparing, "BATCH", 500)
    with Forces(reference, potentials, tmp_path) as kept, open(tmp_path / "forces.parquet", "wb") as stream:
        results = compare(potentials, data.stream(folder), reference=reference, keep=kept)
        kept.copy(stream)
    every = reference.every(forces.ATOMS)
    assert every in (3, 4)
    table = pandas.read_parquet(tmp_path / "forces.parquet")
    assert set(table.frame) == set(range(0, len(reference), every))
    labels = np.concatenate([frame.forces.ravel() for frame in data.stream(folder)])
    edges = np.linspace(-kept.limit, kept.limit, evaluate.CELLS + 1)
    for k, (_, predicted, _) in enumerate(in_memory):
        values = np.concatenate([one.ravel() for one in predicted])
        counts, _, _ = np.histogram2d(values, labels, (edges, edges))
        assert kept.density[k].sum() + kept.outside[k] == len(labels) and kept.outside[k] == np.count_nonzero(np.abs(values) > kept.limit)
        assert np.abs(kept.density[k] - counts).sum() <= 4  # one at the edge of two cells may fall into the other
    from metalff.validate.parity import parity_figure

    parity_figure(results, kept).savefig(tmp_path / "parity.png")
    assert (tmp_path / "parity.png").read_bytes().startswith(b"\x89PNG")


def test_columns_of_the_labels(folder):
    reference, dataset = reference_of(data.stream(folder)), data.read(folder)
    assert (len(reference), reference.sha256, reference.elements) == (len(dataset), dataset.sha256, dataset.elements)
    assert reference.every(1000) == dataset.spread(1000).step
    assert np.array_equal(reference.counts.sum(axis=1), [len(frame) for frame in dataset])
    for k, frame in enumerate(dataset):
        assert np.isnan(reference.stress[k]).all() if frame.stress is None else np.array_equal(reference.stress[k], frame.stress[np.triu_indices(3)])


def test_trajectories_are_those_of_all_frames_at_once():
    """Against the definition, on all kinds of frames: with cells shared, and cells that no other frame has."""
    frames = [*data.read("zuo2020-Cu").frames, *data.read("li2020-Nb:test").frames, *data.read("zuo2020-Ni:test").frames]
    frames = [replace(frame, cell=frame.cell * (1 + 0.001 * k)) if k % 7 == 0 else frame for k, frame in enumerate(frames)]
    whole = [(f.source, f.group, f.temperature, np.bincount(f.numbers).tobytes()) for f in frames]
    cells = [(own, np.round(f.cell, CELL_DECIMALS).tobytes()) for own, f in zip(whole, frames, strict=True)]
    shared, seen = Counter(cells), {}
    keys = [cell if shared[cell] > 1 else (own, None) for own, cell in zip(whole, cells, strict=True)]
    assert np.array_equal(trajectories_of(frames), [seen.setdefault(key, len(seen)) for key in keys])


class Changing:
    """A set whose files are written anew between two readings."""

    name, citation, licence = "changing", "", ""

    def __init__(self, *versions):
        self.versions = iter(versions)

    def __iter__(self):
        return iter(next(self.versions))


@pytest.mark.parametrize("change", ["one frame more", "one frame less", "another energy"])
def test_a_set_that_changes_under_way_is_refused(change):
    frames = data.read("zuo2020-Cu:test").frames[:4]
    other = {"one frame more": (*frames, frames[0]), "one frame less": frames[:3]}
    other = other.get(change, (*frames[:3], replace(frames[3], energy=frames[3].energy + 1e-6)))
    with pytest.raises(MetalffError, match="changing changed while it was read"):
        compare([resolve("Cu/eam")], Changing(frames, other))


def test_a_frame_that_fails_in_another_process_is_named():
    mixed = Dataset("mixed", (*data.read("zuo2020-Cu:test").frames[:3], *data.read("zuo2020-Ni:test").frames[:1]))
    with pytest.raises(MetalffError, match="Cu/eam on frame 0 of zuo2020-Ni:test: the potential is for Cu, but the structure contains Ni"):
        compare([resolve("Cu/eam")], mixed, jobs=2)


def test_what_a_potential_warns_of_in_another_process_is_said_once():
    frames = data.read("zuo2020-Cu:train[group=aimd]").frames[:2]
    close = Dataset("close", tuple(replace(frame, positions=frame.positions * 0.9, cell=frame.cell * 0.9) for frame in frames))
    with pytest.warns(UserWarning, match="more than any in the training data") as said:
        compare([resolve("Cu/nep")], close, jobs=2)
    assert len({str(warning.message) for warning in said}) == len(said)


def test_uncertainty_that_memory_does_not_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(uncertainty, "available", lambda: 10_000)
    words = ["validate", "Cu/eam", "Cu/zhou", "--data", "zuo2020-Cu:test", "--out", str(tmp_path / "out"), "--uncertainty"]
    done = CliRunner().invoke(build_app(), words)
    assert isinstance(done.exception, MetalffError) and "more than half of the 0.0 GB that are free" in str(done.exception)
    assert not (tmp_path / "out").exists()


def counted(monkeypatch, ends: float = np.inf):
    """Calls of ``evaluate`` from now on; one after ``ends`` of them is interrupted."""
    calls = []

    def count(potentials, calculators, frames, wanted, step):
        if len(calls) >= ends:
            raise KeyboardInterrupt
        calls.append(len(frames))
        return evaluate.evaluate(potentials, calculators, frames, wanted, step)

    monkeypatch.setattr(comparing, "evaluate", count)
    return calls


@pytest.mark.parametrize("few", [True, False])
def test_a_validation_that_was_ended_goes_on(few, folder, tmp_path, monkeypatch):
    """Interrupted twice, and one of its files damaged: what it leaves is what one that was not has."""
    monkeypatch.setattr(comparing, "BATCH", 400)
    monkeypatch.setattr(unfinished, "EVERY", 0.0)
    if not few:
        monkeypatch.setattr(forces, "DRAWN", 100)
    words = ["validate", "{element}/eam", "{element}/zhou", "--data", str(folder), "--uncertainty", "--jobs", "1", "--out"]
    whole = counted(monkeypatch)
    assert CliRunner().invoke(build_app(), [*words, str(tmp_path / "whole")]).exit_code == 0
    out, done = tmp_path / "out", 0
    for ends in (5, 4):
        calls = counted(monkeypatch, ends)
        assert CliRunner().invoke(build_app(), [*words, str(out)]).exit_code == 130
        done += len(calls)
        (kept,) = out.iterdir()
        assert kept.name.startswith(".unfinished-") and len(list(kept.iterdir())) == done
    last = sorted(kept.iterdir(), key=lambda path: int(path.stem))[-1]
    last.write_bytes(last.read_bytes()[:100])
    calls = counted(monkeypatch)
    assert CliRunner().invoke(build_app(), [*words, str(out)]).exit_code == 0
    assert len(calls) == len(whole) - 8 and sorted(p.name for p in out.iterdir()) == sorted(p.name for p in (tmp_path / "whole").iterdir())
    for path in (tmp_path / "whole").iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name


def test_another_validation_does_not_go_on_from_it(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(comparing, "BATCH", 400)
    monkeypatch.setattr(unfinished, "EVERY", 0.0)
    counted(monkeypatch, 3)
    words = ["validate", "--data", str(folder), "--jobs", "1", "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(build_app(), [*words, "{element}/eam"]).exit_code == 130
    calls = counted(monkeypatch)
    assert CliRunner().invoke(build_app(), [*words, "{element}/zhou"]).exit_code == 0
    assert sum(calls) == len(data.read(folder)) and not list((tmp_path / "out").glob(".unfinished*"))


@pytest.mark.parametrize(
    "edit",
    [
        lambda arrays: arrays | {"energy": np.float64(3)},
        lambda arrays: arrays | {"energy": np.nan * arrays["energy"]},
        lambda arrays: arrays | {"errors": arrays["errors"][:, :3]},
        lambda arrays: arrays | {"errors": arrays["errors"][:, :, :1]},
        lambda arrays: arrays | {"frames": arrays["frames"] + 1},
        lambda arrays: arrays | {"errors": np.concatenate([arrays["errors"]] * 2)},
    ],
)
def test_what_was_kept_of_other_frames_is_not_taken(edit, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(comparing, "BATCH", 400)
    monkeypatch.setattr(unfinished, "EVERY", 0.0)
    whole = data.read(folder)
    reference, chosen = reference_of(whole), for_elements(["{element}/eam"], whole.elements)
    kept = unfinished.Unfinished(tmp_path, reference, chosen, [])
    (result,) = compare(chosen, whole, reference=reference, unfinished=kept)
    second = sorted(kept.folder.iterdir(), key=lambda path: int(path.stem))[1]
    with np.load(second) as file:
        arrays = edit(dict(file))
    np.savez(second, **arrays)
    assert len(list(kept.known())) == 1
    (again,) = compare(chosen, whole, reference=reference, unfinished=unfinished.Unfinished(tmp_path, reference, chosen, []))
    assert again.overall == result.overall


def test_nothing_is_kept_of_data_that_changed_meanwhile(folder, tmp_path, monkeypatch):
    """Replaced by others of the same sizes while they are evaluated, and put back: nothing of the others is in the results."""
    monkeypatch.setattr(comparing, "BATCH", 400)
    monkeypatch.setattr(unfinished, "EVERY", 0.0)
    whole = data.read(folder)
    other = replace(whole, frames=tuple(replace(frame, positions=0.99 * frame.positions, cell=0.99 * frame.cell) for frame in whole))
    reference, chosen = reference_of(whole), for_elements(["{element}/eam"], whole.elements)

    def measured(frames):
        (result,) = compare(chosen, frames, reference=reference, unfinished=unfinished.Unfinished(tmp_path, reference, chosen, []))
        return result.overall

    with pytest.raises(MetalffError, match="changed while it was read"):
        measured(other)
    assert measured(whole) == compare(chosen, whole, reference=reference)[0].overall
