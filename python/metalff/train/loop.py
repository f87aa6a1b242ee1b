"""The training loop of every family whose model fulfils the contract; runs inside a family's private environment.

A family's worker (``mace_worker.py``, …) is started as ``<env>/bin/python -I WORKER CONFIG.json [PARENT]``, puts this folder at the end
of its path and calls ``main(family)``; the loop needs only torch, ase, numpy and matscipy. With PARENT, a process id, it saves and ends
when that process is no longer its parent. The energy is a function of edge vectors, forces and virial are scatters of
dE/d edge_vec, so what is trained is exactly what is deployed, and families differ by their models, not by their trainers.

What a family gives (see ``Family``): a model, its energies per atom, and how the model is kept.

Everything is under one directory: ``checkpoint.pt`` (resume), ``history.csv`` (one line per epoch), the best model so far in the
family's own form, the errors of its frames (``valid.csv``, ``test.csv``) and ``result.json`` (written last).  The learning rate follows the steps
where a number of epochs is given, so that a seed gives the same weights however fast the machine is; else it follows the time, so that a
budget is spent in full and the run still ends annealed.  Each epoch goes into the history before the checkpoint; a resumed run drops the
lines that its checkpoint does not know, and goes on within the epoch that was interrupted.
"""

import copy
import csv
import json
import math
import os
import pickle
import signal
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import ase.data
import ase.io
import numpy as np
import torch
from kalman import Kalman  # beside this file, whose folder a worker has put on its path
from matscipy.neighbours import neighbour_list

RECORDED = ("torch", "ase", "matscipy", "numpy")
"""Packages whose versions go into the result, besides those of the family."""

JUMP = 5.0
"""A training has diverged when its errors on the validation part, or the root of its loss, are this many times the best so far."""

CAUTION = 0.3
"""What the learning rate is multiplied by each time a training has diverged."""

MOST_SETBACKS = 10
"""Times that a training goes back to its best weights before it is given up."""


class Family:
    """What the loop asks of a model family; a worker passes a subclass to ``main``."""

    recorded: tuple[str, ...] = ()
    """Packages whose versions go into the result."""

    def precision(self, cfg) -> str:
        """float32 or float64: torch's default dtype in training."""
        return cfg["precision"]

    def build(self, cfg, e0, neighbours, scale):
        """A model in torch's default dtype.

        Args:
            cfg: the configuration of the training.
            e0: [types] energy of free atoms, eV.
            neighbours: mean number of neighbours within the cutoff.
            scale: typical size of forces and of the binding energy, eV/Å.
        """
        raise NotImplementedError

    def prepare(self, model, run) -> None:
        """Statistics of the frames ``run.train`` that a new model starts from; a resumed run overwrites them with its own.

        Called for the model that is kept, then for the one that is trained.
        """

    def energies(self, model, edge_vec, edge_index, types, batch, frames):
        """Energy of every node without E0, [N], of ``frames`` structures joined into one graph; differentiable twice."""
        raise NotImplementedError

    def loss(self, model, part, e0, energy_weight, stress_weight, huber=0.0):
        """See ``loss_of``; a family with gradients of its own gives its own."""
        return loss_of(self, model, part, e0, energy_weight, stress_weight, huber)

    def predict(self, model, part, e0):
        """See ``predict``."""
        return predict(self, model, part, training=False)

    def answer(self, model, frame):
        """Energy (eV), forces [N,3] (eV/Å) and virial [3,3] (eV) of a frame as numpy arrays; for ``kalman.py``, as are the next two."""
        raise NotImplementedError

    def jacobian(self, model, frame, by_energy, by_force, by_virial):
        """Derivatives by the parameters, [rows, n], of by_energy · E + Σ by_force · F + Σ by_virial · virial, of the model ``answer`` was asked of last."""
        raise NotImplementedError

    def prior(self, model, cfg):
        """Standard deviation of every parameter before training, [n], and the sizes of groups of parameters that hang together."""
        raise NotImplementedError

    def decayed(self, name) -> bool:
        """Whether weight decay acts on the parameter of this name."""
        return False

    def save(self, model, cfg, out) -> None:
        """Write the model, in float64, atomically into the directory ``out``."""
        raise NotImplementedError

    def result(self) -> dict:
        """What the family adds to ``result.json``."""
        return {}


@dataclass
class Frame:
    """One labelled structure as tensors; energies in eV, lengths in Å."""

    shift: torch.Tensor  # [E,3] lattice shift of the neighbour
    edge_index: torch.Tensor  # [2,E] centre, neighbour
    positions: torch.Tensor  # [N,3]
    types: torch.Tensor  # [N]
    energy: torch.Tensor  # scalar
    forces: torch.Tensor  # [N,3]
    virial: torch.Tensor  # [3,3]; NaN where the source has no stress
    weight: float  # of its part of the loss; 1 on average over the training frames


def read_frames(path, numbers, r_max, dtype):
    """Read an extxyz written by MetalFF (``REF_energy``, ``REF_forces``, optional ``REF_stress``)."""
    frames = []
    for atoms in ase.io.read(path, ":"):
        atoms.cell = atoms.cell.complete()  # matscipy wants three vectors, also where nothing is periodic
        i, j, vec = neighbour_list("ijD", atoms, r_max)
        order = np.lexsort((j, i))
        i, j, vec = i[order], j[order], vec[order]
        pos = atoms.positions
        stress = atoms.info.get("REF_stress")
        virial = np.full((3, 3), np.nan) if stress is None else -atoms.get_volume() * np.reshape(stress, (3, 3))
        frames.append(
            Frame(
                torch.tensor(vec - (pos[j] - pos[i]), dtype=dtype),
                torch.tensor(np.stack([i, j]), dtype=torch.long),
                torch.tensor(pos, dtype=dtype),
                torch.tensor([numbers.index(z) for z in atoms.numbers], dtype=torch.long),
                torch.tensor(atoms.info["REF_energy"], dtype=torch.float64),
                torch.tensor(atoms.arrays["REF_forces"], dtype=dtype),
                torch.tensor(virial, dtype=dtype),
                float(atoms.info.get("weight", 1.0)),
            )
        )
    return frames


def collate(frames):
    """Join frames into one graph; returns it with the frame index of every atom and edge."""
    offset, edge_index, batch = 0, [], []
    for k, frame in enumerate(frames):
        edge_index.append(frame.edge_index + offset)
        batch.append(torch.full((len(frame.types),), k))
        offset += len(frame.types)
    pos = torch.cat([f.positions for f in frames])
    edge_index = torch.cat(edge_index, 1)
    edge_vec = pos[edge_index[1]] - pos[edge_index[0]] + torch.cat([f.shift for f in frames])
    return edge_vec, edge_index, torch.cat([f.types for f in frames]), torch.cat(batch)


def predict(family, model, frames, training):
    """Energies [K] (float64, without E0: it would cost float32 its last digits), forces [N,3] and virials [K,3,3] of K frames."""
    edge_vec, edge_index, types, batch = collate(frames)
    edge_vec.requires_grad_(True)
    n = len(types)
    node_energy = family.energies(model, edge_vec, edge_index, types, batch, len(frames))
    (grad,) = torch.autograd.grad(node_energy.sum(), edge_vec, create_graph=training)
    forces = torch.zeros(n, 3, dtype=grad.dtype).index_add(0, edge_index[0], grad).index_add(0, edge_index[1], -grad)
    outer = -edge_vec.unsqueeze(2) * grad.unsqueeze(1)
    virial = torch.zeros(len(frames), 3, 3, dtype=grad.dtype).index_add(0, batch[edge_index[0]], outer)
    energy = torch.zeros(len(frames), dtype=torch.float64).index_add(0, batch, node_energy.double())
    return energy, forces, virial


def zero_of_energy(e0, frames, n_types):
    """E0 of each element (eV): as given, or ``"average"``, the least-squares energy per atom.

    With energies of free atoms (0 where the DFT code already subtracts them) the model knows that fewer neighbours
    bind less, and learns surfaces and vacancies from few frames; with averages it must find that out.
    """
    if e0 != "average":
        return np.array(e0, float)
    counts = np.array([np.bincount(f.types, minlength=n_types) for f in frames], float)
    return np.linalg.lstsq(counts, np.array([float(f.energy) for f in frames]), rcond=None)[0]


def frame_errors(family, model, frames, e0, batch_size):
    """Of each frame what ``FRAME_COLUMNS`` name: sums over its atoms in eV²/Å² (absolute errors: eV/Å), error of the energy in eV/atom."""
    rows = []
    for k in range(0, len(frames), batch_size):
        part = frames[k : k + batch_size]
        energy, forces, _ = family.predict(model, part, e0)
        for f, e, predicted in zip(part, energy, forces.detach().split([len(f.types) for f in part])):
            energy_error = float(e.detach() - f.energy + e0[f.types].sum()) / len(f.types)
            error = predicted - f.forces
            rows.append((len(f.types), float((error**2).sum()), float(error.abs().sum()), float((f.forces**2).sum()), energy_error))
    return rows


def errors(rows):
    """Force RMSE (eV/Å) and energy RMSE (eV/atom) of the rows of ``frame_errors``."""
    atoms, square, _, _, energy = np.array(rows).T
    return math.sqrt(square.sum() / (3 * atoms.sum())), math.sqrt(np.mean(energy**2))


def loss_of(family, model, part, e0, energy_weight, stress_weight, huber=0.0):
    """Force MSE (eV²/Å²) + weighted squared errors of energy per atom (eV²) and of virial per atom (eV²).

    Every frame counts by its weight alone: averaged over atoms, the few small surface cells would never be learnt. The sum over frames, each times
    its weight, is divided by their number and not by the sum of their weights, so that a weight acts in a batch of one frame, too. With
    ``huber``, squares become linear beyond it (``robust``): of the length of an atom's force error in eV/Å, and of the error of the energy per
    atom and the norm of that of the virial per atom in eV.
    """
    energy, forces, virial = predict(family, model, part, training=True)
    sizes = torch.tensor([len(f.types) for f in part], dtype=torch.float64)
    weights = torch.tensor([f.weight for f in part], dtype=torch.float64)
    reference = torch.stack([f.energy - e0[f.types].sum() for f in part])
    per_atom = robust(((forces - torch.cat([f.forces for f in part])) ** 2).mean(1), huber / math.sqrt(3))
    loss = torch.cat([chunk.mean().reshape(1) for chunk in per_atom.split([len(f.types) for f in part])])
    loss = (loss * weights.to(loss.dtype)).mean()
    loss = loss + energy_weight * (robust(((energy - reference) / sizes) ** 2, huber) * weights).mean().to(loss.dtype)
    known = torch.stack([f.virial for f in part])
    has = ~torch.isnan(known[:, 0, 0])
    if stress_weight and bool(has.any()):
        square = (((virial - torch.nan_to_num(known)) / sizes.to(virial.dtype)[:, None, None]) ** 2)[has]
        if huber:
            square = robust(square.mean((1, 2), keepdim=True), huber / 3)
        square = square * weights[has].to(square.dtype)[:, None, None]
        loss = loss + stress_weight * square.mean() * (int(has.sum()) / len(part))
    return loss


def robust(square, threshold):
    """Huber loss of errors x, their squares given: x² up to the threshold t, t (2x − t) beyond; with the threshold 0 the squares."""
    if not threshold:
        return square
    far = square > threshold**2
    error = torch.sqrt(torch.where(far, square, 1.0))
    return torch.where(far, threshold * (2 * error - threshold), square)


def save_atomically(write, path):
    tmp = path.with_suffix(path.suffix + ".tmp")
    write(tmp)
    sync(tmp)
    os.replace(tmp, path)
    sync(path.parent)


def sync(path):
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_rows(path, mode, rows):
    with path.open(mode, newline="") as f:
        csv.writer(f, lineterminator="\n").writerows(rows)


FRAME_COLUMNS = ("atoms", "force_square_error", "force_absolute_error", "force_square", "energy_error")
"""Of ``valid.csv`` and ``test.csv``: what ``frame_errors`` gives, frame by frame in the order of the data."""


class Run:
    """State that a resumed run continues from."""

    def __init__(self, family, cfg, out):
        self.family, self.cfg, self.out = family, cfg, out
        self.dtype = {"float32": torch.float32, "float64": torch.float64}[family.precision(cfg)]
        torch.set_default_dtype(self.dtype)
        torch.manual_seed(cfg["seed"])
        numbers = [ase.data.atomic_numbers[e] for e in cfg["elements"]]
        self.train = read_frames(cfg["train_file"], numbers, cfg["r_max"], self.dtype)
        self.valid = read_frames(cfg["valid_file"], numbers, cfg["r_max"], self.dtype)
        self.tested = read_frames(cfg["test_file"], numbers, cfg["r_max"], self.dtype) if "test_file" in cfg else []
        mean = float(np.mean([f.weight for f in self.train]))
        for f in self.train:
            f.weight /= mean
        self.count = math.ceil(len(self.train) / cfg["batch_size"])
        e0 = zero_of_energy(cfg["e0"], self.train, len(numbers))
        force_rms = math.sqrt(np.mean([float((f.forces**2).mean()) for f in self.train]))
        binding = np.mean([(float(f.energy) - e0[f.types].sum()) / len(f.types) for f in self.train])
        neighbours = float(np.mean([f.edge_index.shape[1] / len(f.types) for f in self.train]))
        if not math.isfinite(force_rms + binding):
            sys.exit("energies relative to E0 are not finite: check --e0 and the data")
        self.e0 = torch.tensor(e0)
        self.model = family.build(cfg, e0, neighbours, max(force_rms, abs(binding)))
        # what is kept: with coupling coefficients in float64, so that rotations leave its energy unchanged to round-off
        torch.set_default_dtype(torch.float64)
        self.kept = family.build(cfg, e0, neighbours, max(force_rms, abs(binding)))
        torch.set_default_dtype(self.dtype)
        for model in (self.kept, self.model):
            family.prepare(model, self)
        with torch.no_grad():
            for p, q in zip(self.kept.parameters(), self.model.parameters()):
                p.copy_(q)
        self.ema = copy.deepcopy(self.model)
        self.kalman = Kalman(self.model.parameters(), *family.prior(self.model, cfg), cfg["seed"]) if cfg.get("optimizer") == "kalman" else None
        decay = [p for n, p in self.model.named_parameters() if family.decayed(n)]
        ids = {id(p) for p in decay}
        rest = [p for p in self.model.parameters() if id(p) not in ids]
        self.optimizer = torch.optim.Adam([{"params": decay, "weight_decay": cfg["weight_decay"]}, {"params": rest}], lr=cfg["lr"])
        self.epoch, self.batch, self.step, self.elapsed = 0, 0, 0, 0.0  # batch: of the epoch in progress
        self.budget = cfg["budget_s"] or math.inf
        self.best, self.least = math.inf, math.inf  # score of the weights kept, smallest loss of an epoch
        self.setbacks, self.losses = 0, []
        self.rng = np.random.default_rng(cfg["seed"])
        self.checkpoint = out / "checkpoint.pt"
        if self.checkpoint.exists():
            state = read_checkpoint(self.checkpoint)
            self.model.load_state_dict(state["model"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.step, self.elapsed, self.best = (state[k] for k in ("epoch", "step", "elapsed", "best"))
            self.batch = state.get("batch", 0)
            self.rng.bit_generator.state = state["rng"]
            if "kept" in state:
                self.kept.load_state_dict(state["kept"])
            self.least, self.setbacks, self.losses = state.get("least", math.inf), state.get("setbacks", 0), state.get("losses", [])
            if self.kalman:
                self.kalman.load_state_dict(state["kalman"])

    def save(self):
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "elapsed": self.elapsed,
            "best": self.best,
            "least": self.least,
            "setbacks": self.setbacks,
            "losses": self.losses,
            "kalman": self.kalman and self.kalman.state_dict(),
            "rng": self.rng.bit_generator.state,
            "kept": self.kept.state_dict(),
        }
        save_atomically(lambda p: torch.save(state, p), self.checkpoint)

    def keep(self):
        """Write the averaged weights in the family's form, in float64."""
        with torch.no_grad():
            for p, q in zip(self.kept.parameters(), self.ema.parameters()):
                p.copy_(q)
        self.family.save(self.kept, self.cfg, self.out)

    def final_errors(self):
        """Errors of the model kept: of each frame into ``valid.csv`` and, with test data, ``test.csv``; those of the latter as ``result.json`` has them."""
        with torch.no_grad():
            for p, q in zip(self.ema.parameters(), self.kept.parameters()):
                p.copy_(q)
        found = {}
        for name, frames in (("valid", self.valid), ("test", self.tested)):
            if frames:
                rows = frame_errors(self.family, self.ema, frames, self.e0, self.cfg["batch_size"])
                save_atomically(lambda p: write_rows(p, "w", [FRAME_COLUMNS, *rows]), self.out / f"{name}.csv")
                force, energy = errors(rows)
                found[name] = {"force_rmse": force, "energy_rmse": energy, "frames": len(frames)}
        return {"test": found["test"]} if self.tested else {}

    def progress(self):
        """Fraction of the training that is done: of the epochs where their number is given, else of the time."""
        if self.cfg["max_epochs"]:
            return min(1.0, (self.epoch + self.batch / self.count) / self.cfg["max_epochs"])
        return min(1.0, self.elapsed / self.budget)

    def over(self):
        return self.progress() >= 1.0 or self.elapsed >= self.budget

    def set_rates(self, progress):
        warm = min(1.0, (self.step + 1) / self.cfg["warmup_steps"])
        lr = self.cfg["lr"] * CAUTION**self.setbacks * warm * (0.002 + 0.998 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        first, last = self.cfg["energy_weight"]
        self.energy_weight = first * (last / first) ** progress

    @property
    def rate(self):
        """Learning rate of Adam; with the Kalman filter what a frame replaces of its memory."""
        return self.kalman.rate if self.kalman else self.optimizer.param_groups[0]["lr"]

    def take_step(self, part):
        """Change the weights by some frames; returns their loss before that. A loss that is not finite changes nothing."""
        terms = self.energy_weight, self.cfg["stress_weight"], self.cfg.get("huber", 0.0)
        if self.kalman:
            return self.kalman.step(self.family, self.model, part, self.e0, *terms)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.family.loss(self.model, part, self.e0, *terms)
        if torch.isfinite(loss):
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.cfg["clip_grad"])
            self.optimizer.step()
        return float(loss.detach())

    def settle(self, force, energy):
        """At the end of an epoch with these errors on the validation part: keep the weights if they are the best, go back to those if they are far worse."""
        score, loss = force + self.cfg["energy_score"] * energy, float(np.mean(self.losses)) if self.losses else 0.0
        if not math.isfinite(score) or score > JUMP * self.best or loss > JUMP**2 * self.least:
            self.go_back(f"force RMSE {force:.3g} eV/Å")
        else:
            self.least = min(self.least, loss)
            if score < self.best:
                self.best = score
                self.keep()
        self.losses = []

    def go_back(self, what):
        """To the best weights so far, which are the first ones before there are any; with smaller steps from now on."""
        self.setbacks += 1
        if self.setbacks > MOST_SETBACKS:
            sys.exit(f"training diverged {self.setbacks} times ({what}), at ever lower learning rates: check --e0 and the data, or use a lower --lr")
        with torch.no_grad():
            for model in (self.model, self.ema):
                for p, q in zip(model.parameters(), self.kept.parameters()):
                    p.copy_(q)
        self.optimizer.state.clear()
        if self.kalman:
            self.kalman.go_back()
        self.losses = []
        lowered = "with more caution" if self.kalman else f"at {CAUTION:g} times the learning rate"
        print(f"note: the training diverged in epoch {self.epoch + 1} ({what}): it goes on from its best weights, {lowered}", flush=True)

    def batches(self):
        """Frames of one epoch: each batch draws one from every stratum of energy per atom, so none lacks a kind."""
        order = np.argsort([float(f.energy) / len(f.types) for f in self.train])
        count = self.count
        strata = [self.rng.permutation(order[k : k + count]) for k in range(0, len(order), count)]
        return [[self.train[s[k]] for s in strata if k < len(s)] for k in range(count)]

    def train_epoch(self, stop, tell):
        """Train to the end of an epoch, or of the training; False where ``stop`` came before it. ``tell`` is called after each step."""
        start = self.rng.bit_generator.state
        for part in self.batches()[self.batch :]:
            t0 = time.monotonic()
            if stop.is_set:
                self.rng.bit_generator.state = start  # whoever resumes draws the same epoch, and goes on after its batch
                return False
            if self.over():
                break
            self.set_rates(self.progress())
            self.losses.append(self.take_step(part))
            if not math.isfinite(self.losses[-1]):
                self.go_back("the loss is not finite")
            decay = min(self.cfg["ema"], (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                for p, q in zip(self.ema.parameters(), self.model.parameters()):
                    p.lerp_(q, 1 - decay)
            self.step += 1
            self.batch += 1
            self.elapsed += time.monotonic() - t0
            tell()
        self.epoch += 1
        self.batch = 0
        return True


def read_checkpoint(path):
    """The state in ``checkpoint.pt``: tensors, numbers and text; anything else could run code when it is opened, and is refused."""
    try:
        return torch.load(path, weights_only=True)
    except pickle.UnpicklingError:
        sys.exit(f"{path.name} holds more than tensors and numbers, or is damaged, and is not opened; remove it to begin this training anew")
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        sys.exit(f"{path.name} cannot be read ({reason}); remove it to begin this training anew")


class Teller:
    """Progress as lines of JSON on stdout: after every epoch, and within one at most every ``SECONDS``."""

    SECONDS = 1.0

    def __init__(self, run):
        self.run, self.errors, self.next = run, (None, None), 0.0

    def epoch(self, force, energy):
        self.errors = (force, energy)
        self._tell({})

    def step(self):
        if time.monotonic() > self.next and self.run.batch < self.run.count:
            self._tell({"step": self.run.batch, "steps": self.run.count})

    def _tell(self, more):
        run, (force, energy) = self.run, self.errors
        fraction = max(run.progress(), min(1.0, run.elapsed / run.budget))
        print(json.dumps({"epoch": run.epoch, "fraction": fraction, "force_rmse": force, "energy_rmse": energy, **more}), flush=True)
        self.next = time.monotonic() + self.SECONDS


class Stop:
    """A signal, or the end of the parent process, asks the loop to end after the batch in progress."""

    def __init__(self, parent):
        self.parent = parent
        self.signalled = False
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, self._set)

    def _set(self, *_):
        self.signalled = True

    @property
    def is_set(self):
        return self.signalled or (self.parent is not None and os.getppid() != self.parent)


class History:
    """``history.csv``: one line per epoch, none later than ``epoch`` at the start."""

    columns = ("epoch", "step", "elapsed_s", "lr", "force_rmse_valid", "energy_rmse_valid", "loss_train")

    def __init__(self, path, epoch):
        self.path = path
        rows = list(csv.reader(path.open(newline="")))[1:] if path.exists() else []
        kept = [row for row in rows if len(row) == len(self.columns) and int(row[0]) <= epoch]
        save_atomically(lambda p: write_rows(p, "w", [self.columns, *kept]), path)

    def append(self, row):
        write_rows(self.path, "a", [row])


def main(family):
    cfg = json.loads(Path(sys.argv[1]).read_text())
    out = Path(cfg["out"])
    torch.set_num_threads(cfg["threads"])
    stop = Stop(int(sys.argv[2]) if len(sys.argv) > 2 else None)
    run = Run(family, cfg, out)
    history = History(out / "history.csv", run.epoch)
    teller = Teller(run)
    while not run.over() and not stop.is_set:
        if not run.train_epoch(stop, teller.step):
            run.save()
            break
        t0 = time.monotonic()
        force, energy = errors(frame_errors(family, run.ema, run.valid, run.e0, cfg["batch_size"]))
        loss = float(np.mean(run.losses)) if run.losses else math.nan
        run.settle(force, energy)
        run.elapsed += time.monotonic() - t0
        history.append([run.epoch, run.step, f"{run.elapsed:.0f}", f"{run.rate:.2e}", f"{force:.5f}", f"{energy:.6f}", f"{loss:.4e}"])
        run.save()
        teller.epoch(force, energy)
    if stop.is_set:
        sys.exit(130)
    if run.epoch < cfg["max_epochs"] and not run.kalman:
        print(
            f"note: the budget ended the training after {run.epoch} of {cfg['max_epochs']} epochs, at a learning rate of {run.rate:.1e} where it would have "
            "fallen to nearly zero: give a longer --budget, or --max-epochs alone",
            flush=True,
        )
    result = {
        "epochs": run.epoch,
        "steps": run.step,
        "elapsed_s": run.elapsed,
        "setbacks": run.setbacks,
        "e0": run.e0.tolist(),
        **run.final_errors(),
        **family.result(),
        "versions": {name: metadata.version(name) for name in (*family.recorded, *RECORDED)},
    }
    save_atomically(lambda p: p.write_text(json.dumps(result)), out / "result.json")
