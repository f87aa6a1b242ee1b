"""A queue on disk: tasks (structure × protocol), each labelled once; what is done, failed and running.

A folder::

    queue.json           the plan, the arguments of the calculator, the tasks in their order
    structures/*.extxyz  what is labelled
    sets/*/              labels, in the layout of Metal-43 (``sets.py``)
    done/, failed/       one small file for each label that is in no set yet, and for each failure
    work/                locks, and what calculators write
"""

import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.io import read, write

from metalff.data.metals import metal
from metalff.dft import plan as plans
from metalff.dft.protocol import arguments_of, k_mesh, ladder_of, merged, protocol
from metalff.dft.structures import draw, small_cell
from metalff.errors import MetalffError
from metalff.paths import atomic_path, atomic_write, is_locked, lock
from metalff.pool import one_by_one, side_by_side

SCHEMA = 1
"""Number of the layout of ``queue.json``."""

NAME = "queue.json"


@dataclass(frozen=True)
class Task:
    """One label.

    Attributes:
        id: of structure and protocol; equal structures with equal arguments have the same.
        source: name of the file of structures.
        index: of the structure in it.
        set: name of the set that the label goes to.
        arguments: key of the calculator's arguments in ``queue.json``.
    """

    id: str
    source: str
    index: int
    set: str
    arguments: str


class Queue:
    """The folder of a queue, opened.

    Raises:
        MetalffError: it holds no queue, or is damaged.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        try:
            content = json.loads((self.folder / NAME).read_text("utf-8"))
            if content["schema"] != SCHEMA:
                raise MetalffError(f"{self.folder / NAME} has schema {content['schema']}, this MetalFF reads {SCHEMA}")
            self.plan = plans.Plan.model_validate(content["plan"])
            self.arguments, self.drawn = dict(content["arguments"]), dict(content["drawn"])
            self.tasks = [Task(*row) for row in content["tasks"]]
            known = {source.name for source in plans.sources(self.plan)}
            if strange := [task for task in self.tasks if task.source not in known or task.arguments not in self.arguments]:
                raise ValueError(f"task {strange[0].id} is not of its plan")
        except (FileNotFoundError, NotADirectoryError):
            raise MetalffError(f"{self.folder} holds no queue; make one: metalff dft queue PLAN.yaml") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise MetalffError(
                f"{self.folder / NAME} is damaged ({reason}); restore it, or remove that file and make the queue again (metalff dft queue PLAN.yaml): "
                "labels in sets/ and done/ stay"
            ) from None
        self._structures: dict[str, list] = {}
        self._packed: dict[str, tuple[tuple[int, int], dict]] = {}

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def structures(self, source: str) -> list:
        """``ase.Atoms`` of a source."""
        if source not in self._structures:
            self._structures[source] = read_structures(self.folder / "structures" / f"{source}.extxyz")
        return self._structures[source]

    def structure(self, task: Task):
        """``ase.Atoms`` of a task.

        Raises:
            MetalffError: the structures are not those that the task was made for.
        """
        found = self.structures(task.source)
        if task.index < len(found):
            atoms = found[task.index]
            if task_id(atoms, self.plan.calculator.name, self.arguments[task.arguments]) == task.id:
                return atoms
        path = self.folder / "structures" / f"{task.source}.extxyz"
        raise MetalffError(
            f"{path} has changed since the queue was made; restore it, or remove it and make the queue again: metalff dft queue PLAN.yaml"
        )

    def done_file(self, task: Task) -> Path:
        return self.folder / "done" / f"{task.id}.json"

    def failed_file(self, task: Task) -> Path:
        return self.folder / "failed" / f"{task.id}.json"

    def packed(self, name: str) -> dict:
        """Labels that are in a set, by task: what its manifest says of each."""
        path = self.folder / "sets" / name / "manifest.json"
        try:
            status = path.stat()
        except FileNotFoundError:
            return {}
        changed = status.st_mtime_ns, status.st_ino
        if self._packed.get(name, (None,))[0] != changed:
            try:
                self._packed[name] = changed, dict(json.loads(path.read_text("utf-8"))["tasks"])
            except (OSError, ValueError, KeyError, TypeError):
                raise MetalffError(f"{path} is damaged; restore it, or remove the folder {path.parent} to make its labels again") from None
        return self._packed[name][1]

    def is_done(self, task: Task) -> bool:
        # in this order: the manifest is written before the file goes
        return self.done_file(task).exists() or task.id in self.packed(task.set)

    def is_failed(self, task: Task) -> bool:
        return self.failed_file(task).exists()

    def lock_file(self, task: Task) -> Path:
        return self.work / f"{task.id}.lock"

    def state(self, task: Task) -> str:
        """``done``, ``failed``, ``running`` or ``waiting``."""
        if self.is_done(task):
            return "done"
        if self.is_failed(task):
            return "failed"
        return "running" if is_locked(self.lock_file(task)) else "waiting"

    def order_of(self, task: Task) -> dict:
        """``TASK.json`` of ``label_worker``."""
        atoms = self.structure(task)
        return {
            "id": task.id,
            "calculator": self.plan.calculator.name,
            "arguments": self.arguments[task.arguments],
            "ladder": ladder_of(self.plan.calculator),
            "numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.tolist(),
            "pbc": atoms.pbc.tolist(),
            "done": str(self.done_file(task).absolute()),
            "failed": str(self.failed_file(task).absolute()),
        }


def take(path: Path) -> int | None:
    """An exclusive lock on a file, as an open descriptor that a child may inherit; None when another process has it.

    It lasts as long as any process keeps the descriptor, so that a task is not begun twice when its manager is killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        lock(descriptor, path.parent)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def read_structures(path: Path) -> list:
    """``ase.Atoms`` of a file that ``make`` wrote.

    Raises:
        MetalffError: it is missing or damaged.
    """
    try:
        return read(path, ":", format="extxyz")
    except Exception:  # ASE's reader has many errors for a damaged file
        raise MetalffError(f"{path} is missing or damaged; restore it, or make the queue again: metalff dft queue PLAN.yaml") from None


def write_structures(path: Path, structures: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        write(temporary, structures, format="extxyz", columns=["symbols", "positions"])


def task_id(atoms, calculator: str, arguments: dict) -> str:
    """16 hexadecimal digits of structure (to 1e-8 Å), calculator and arguments."""
    digest = hashlib.sha256(json.dumps([calculator, arguments], sort_keys=True).encode())
    digest.update(atoms.numbers.astype("<i8").tobytes() + np.asarray(atoms.pbc, "u1").tobytes())
    digest.update(np.rint(np.vstack([atoms.cell.array, atoms.positions]) * 1e8).astype("<i8").tobytes())
    return digest.hexdigest()[:16]


def make(path, out=None, extend: bool = False, jobs: int = 1, say=lambda line: None) -> Queue:
    """Make the queue of a plan, or see that the folder holds that very queue.

    Structures are drawn or read once and kept; labels that are there stay.

    Args:
        path: ``plan.yaml``.
        out: folder, instead of the plan's.
        extend: the plan may have more parts, metals, smearings or repeats than the queue.
        jobs: metals whose structures are drawn at a time.
        say: called with lines for the user.
    Raises:
        MetalffError: a bad plan, or the folder holds another queue (the sentence says what differs) or something else.
    """
    plan = plans.read_plan(path)
    folder = Path(out or plan.out)
    if folder.exists() and not folder.is_dir():
        raise MetalffError(f"{folder} is not a folder; choose another --out")
    found, old = plans.sources(plan), None
    if (folder / NAME).exists():
        old = Queue(folder)
        changed = plans.differences(old.plan.physics(), plan.physics())
        if changed and not extend:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise MetalffError(
                f"{folder} holds the queue of another plan: {'; '.join(changed[:3])}{more}; choose another --out, or --extend where the plan only adds"
            )
        if not changed and all(_file(folder, source).exists() for source in found):
            return old
        if old.plan.calculator != plan.calculator:
            raise MetalffError(f"{folder}: the calculator is another than that of the queue; --extend only adds; choose another --out")
        for source in found:
            if lines := plans.differences(old.drawn.get(source.name, source.settings), source.settings):
                raise MetalffError(
                    f"{folder} has other structures of {source.name}: {'; '.join(lines)}; choose another --out, or another name for the part"
                )
    new = [source for source in found if not (old and source.name in old.drawn and _file(folder, source).exists())]
    given = {source.name: plans.given(source.settings["structures"], plan.calculator.has_smearing) for source in new if source.element is None}
    (folder / "work").mkdir(parents=True, exist_ok=True)
    lock = take(folder / "work" / "queue.lock")
    if lock is None:
        raise MetalffError(f"another process is making the queue in {folder}; wait for it")
    try:
        return _make(plan, folder, old, new, given, jobs, say)
    except BaseException:
        for source in new:  # what a refused plan would have added
            if not (old and source.name in old.drawn):
                _file(folder, source).unlink(missing_ok=True)
        raise
    finally:
        os.close(lock)


def _make(plan: plans.Plan, folder: Path, old: Queue | None, new: list, given: dict, jobs: int, say) -> Queue:
    found, finished = plans.sources(plan), 0
    files = {source.name: _file(folder, source) for source in found}
    for name, structures in given.items():
        write_structures(files[name], structures)
    to_draw = {source.name: (source.element, source.settings) for source in new if source.element is not None}

    def drawing(running):
        say(f"drawing structures: {finished} of {len(to_draw)} metals; now {', '.join(running)}")

    for name, structures, error in side_by_side(_draw, to_draw, jobs, drawing) if jobs > 1 else one_by_one(_draw, to_draw, drawing):
        if error:
            raise error
        finished += 1
        write_structures(files[name], structures)
    plans.warn_magnetic(sorted({symbol for source in new for atoms in read_structures(files[source.name]) for symbol in atoms.symbols}))
    arguments, tasks, count = {}, {}, 0
    for part in plan.parts:
        lanes = [_lane(plan, part, source, folder, arguments) for source in found if source.part.name == part.name]
        # every metal at the same pace: by the part of its own tasks that come before
        ranked = sorted((k / len(lane), number, k) for number, lane in enumerate(lanes) for k in range(len(lane)))
        for _, number, k in ranked:
            tasks.setdefault(lanes[number][k].id, lanes[number][k])
            count += 1
    if count > len(tasks):
        warnings.warn(f"{count - len(tasks)} of {count} labels are the same as others (structure and arguments); each is made once", stacklevel=2)
    if old and (lost := set(old.tasks) - set(tasks.values())):
        raise MetalffError(
            f"{folder}: {len(lost)} of {len(old.tasks)} tasks of the queue are not in this plan; --extend only adds; choose another --out"
        )
    content = {
        "schema": SCHEMA,
        "plan": plan.model_dump(mode="json"),
        "drawn": {source.name: source.settings for source in found},
        "arguments": arguments,
        "tasks": [[task.id, task.source, task.index, task.set, task.arguments] for task in tasks.values()],
    }
    with atomic_write(folder / NAME) as stream:
        stream.write(
            "{\n" + ",\n".join(f' "{key}": {_lines(value) if key == "tasks" else json.dumps(value)}' for key, value in content.items()) + "\n}\n"
        )
    return Queue(folder)


def _lines(rows: list) -> str:
    return "[\n" + ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n ]"


def _file(folder: Path, source: plans.Source) -> Path:
    return folder / "structures" / f"{source.name}.extxyz"


def _draw(element: str, settings: dict) -> list:
    return draw(element, settings["potential"], **{key: value for key, value in settings.items() if key != "potential"})


def _lane(plan: plans.Plan, part: plans.Part, source: plans.Source, folder: Path, arguments: dict) -> list[Task]:
    """Tasks of one metal, or of one file of structures, in order: all smearings of a structure, then its repeats."""
    tasks = []
    for index, atoms in enumerate(read_structures(_file(folder, source))):
        for width in plan.widths(part):
            tasks.append(_task(plan, part, source, index, atoms, width, None, arguments))
        for repeat in part.repeats:
            for width, count in repeat.frames.items():
                if index < count:
                    tasks.append(_task(plan, part, source, index, atoms, width, repeat, arguments))
    return tasks


def _task(plan, part, source, index, atoms, width, repeat, arguments) -> Task:
    mesh = None
    if width is not None:
        own = part.metals[source.element] if source.element else None
        density = (own and own.k_density) or part.k_density or protocol().k_density
        # of the perfect crystal, so that every strain of a metal has the same mesh
        mesh = k_mesh(small_cell(metal(source.element), own.atoms) if own else atoms, density, repeat.more_k if repeat else 0)
    settings = arguments_of(plan.calculator, mesh, width, list(atoms.symbols))
    if repeat:
        settings = merged(settings, repeat.arguments)
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    arguments[key] = settings
    return Task(task_id(atoms, plan.calculator.name, settings), source.name, index, plans.set_name(part.name, width, repeat), key)
