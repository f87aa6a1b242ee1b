"""Many measurements of many potentials: resumable, each result kept as it comes, a failure a result like others."""

import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from metalff.data.metals import metal, metals
from metalff.errors import MetalffError, nearest
from metalff.pool import side_by_side
from metalff.potentials import resolve
from metalff.potentials.per_element import FIELD
from metalff.potentials.potential import Potential
from metalff.properties.measurement import Settings, Skip, Subject
from metalff.properties.registry import measurements as registered
from metalff.properties.registry import select
from metalff.properties.store import Store, key, measured_of, read_properties, row

__all__ = ["measure", "read_properties"]

MINUTES = (0.02, 0.1, 1.5, 8.0, 90.0)
"""Rough length of a measurement by its cost, for the time left."""


class Told(BaseException):
    """What ``progress`` raised in the middle of a measurement: it ends the run and is no failure of the potential."""


@dataclass(frozen=True)
class Job:
    """All measurements of one element of one potential."""

    potential: Potential
    element: str

    @property
    def title(self) -> str:
        return self.potential.folder if self.potential.folder.startswith(f"{self.element}-") else f"{self.potential.folder} {self.element}"


def measure(potentials, elements=None, measurements=None, out=None, settings=None, progress=None, jobs: int = 1, retry: bool = False) -> dict:
    """Measure properties.

    Args:
        potentials: names, files, templates such as ``{element}/eam``, or ``Potential`` objects; one or a list.
        elements: only these; all that a potential and the table of metals know when None.
        measurements: see ``registry.select``.
        out: folder of the results; a later run goes on; nothing is written when None.
        settings: ``Settings``, or a dictionary of those that differ from the defaults.
        progress: called with a title, what is done and what there is to do (minutes, roughly), and a sentence or ''; also within long measurements, where
            potentials go one after the other. What it raises ends the run; molecular dynamics goes on from its last checkpoint the next time.
        jobs: potentials at a time.
        retry: measure what has failed again.
    Returns:
        the content of ``properties.json`` (docs/properties.md), of this run alone.
    Raises:
        MetalffError: unknown potential, element, measurement or setting, or a folder that cannot be used. What fails while it is measured is in the
            results.
    """
    chosen, settings = select(measurements), checked_settings(settings)
    todo = plan(potentials, elements)
    store = Store(Path(out) if out else None)
    store.check()
    progress = progress or (lambda title, done, total, sentence: None)
    total = len(todo) * sum(MINUTES[one.cost] for one in chosen)
    done, results = 0.0, []

    def tell(title, label, part):
        try:
            progress(f"{title}: {label} {100 * part:.0f} %", done, total, "")
        except Exception as error:
            raise Told from error

    with store.locked(), _untold():
        for found in _each(todo, [one.name for one in chosen], store, settings, jobs, retry, tell):
            done += MINUTES[registered()[found["measurement"]].cost]
            results.append(found)
            where = f"{found['model']} {found['element']} {found['measurement']}"
            progress(where, done, total, f"{where}: {found['reason']}" if found["status"] == "failed" else "")
        return store.write({job.potential.folder: _record(job.potential) for job in todo}, results) | {"results": results}


def collect(out) -> dict:
    """``properties.json`` of all that is in a folder, also of a run that has not ended.

    Raises:
        MetalffError: there are no results.
    """
    store = Store(Path(out))
    store.check()
    if not store.out.is_dir() or not store.gathered()[1]:
        raise MetalffError(f"{out} holds no results; give the --out folder of metalff properties")
    return store.write({}, [])


def _record(potential) -> dict:
    return potential.record() | {"elements": list(potential.elements)}


@contextmanager
def _untold():
    """Raise what ``progress`` raised."""
    try:
        yield
    except Told as told:
        raise told.__cause__ from None


def _each(todo, names, store, settings, jobs, retry, tell):
    if jobs == 1 or len(todo) == 1:
        for job in todo:
            yield from results_of(job, names, store, settings, retry, tell)
        return
    tasks = {job.title: (_all_of, job, names, store.out, settings, retry) for job in todo}
    for title, found, error in side_by_side(_call, tasks, jobs):
        if error:
            raise MetalffError(f"{title}: {error}")
        yield from found


def _call(function, *arguments):
    return function(*arguments)


def _all_of(job, names, out, settings, retry) -> list[dict]:
    return list(results_of(job, names, Store(out), settings, retry))


def results_of(job: Job, names: list[str], store: Store, settings: Settings, retry: bool = False, tell=None):
    """Give the row of each measurement; what is kept is not measured.

    Args:
        tell: called with a title, what a long measurement is at, and the part of it that is done.
    """
    subject = Subject(job.potential, job.element, settings)
    failed = {}
    store.describe(job.potential)
    try:
        for name in names:
            if tell:
                subject.tell = partial(tell, f"{job.title} {name}")
            found = _result(subject, registered()[name], store, failed, retry)
            if found["status"] == "done":
                subject.found[name] = measured_of(found)
            else:
                failed[name] = found["reason"]
            yield found
    finally:
        subject.close()


def _result(subject: Subject, measurement, store: Store, failed: dict[str, str], retry: bool) -> dict:
    potential, element = subject.potential, subject.element
    digest = key(potential, element, measurement, subject.settings)
    kept = store.kept(potential.folder, element, measurement.name, digest)
    if kept and not (retry and kept["status"] == "failed"):
        return kept
    start = time.monotonic()
    measured, status, reason = None, "done", ""
    if missing := [name for name in measurement.needs if name in failed]:
        status, reason = "skipped", f"needs {missing[0]}, which has no result: {failed[missing[0]]}"
    else:
        try:
            subject.work = store.work(potential.folder, element, measurement.name, digest)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                measured = measurement.run(subject)
        except Skip as error:
            status, reason = "skipped", str(error)
        except Exception as error:  # whatever a potential does far from its training is a result
            status, reason = "failed", str(error) if isinstance(error, MetalffError) else f"{type(error).__name__}: {' '.join(str(error).split())}"
    found = row(potential, element, subject.metal.crystal, measurement, digest, status, time.monotonic() - start, measured, reason)
    store.keep(found)
    return found


def checked_settings(settings) -> Settings:
    """Raises: MetalffError: an unknown setting, or a number beyond its bounds."""
    if isinstance(settings, Settings):
        return settings
    try:
        return Settings(**(settings or {}))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise MetalffError(f"no setting {name}{nearest(name, Settings.model_fields)}; there are {', '.join(Settings.model_fields)}") from None
        raise MetalffError(f"setting {name} = {first['input']}: {first['msg'][0].lower()}{first['msg'][1:]}") from None


def plan(potentials, elements=None) -> list[Job]:
    """One job per potential and element.

    Raises:
        MetalffError: nothing to measure, an unknown potential or element, one that a potential lacks, or two potentials of one name.
    """
    specs = [potentials] if isinstance(potentials, (str, Path, Potential)) else list(potentials)
    if not specs:
        raise MetalffError("give a potential, such as Cu/eam or a .mlff file")
    for symbol in elements or ():
        metal(symbol)
    jobs = [job for spec in specs for job in _jobs(spec, elements)]
    by_folder, unique = {}, {}
    for job in jobs:
        other = by_folder.setdefault(job.potential.folder, job.potential.sha256)
        if other != job.potential.sha256:
            raise MetalffError(f"two different potentials are called {job.potential.folder}; rename one of the files")
        unique.setdefault((job.potential.folder, job.element), job)
    return list(unique.values())


def _jobs(spec, elements) -> list[Job]:
    if FIELD in str(spec):
        return _of_template(str(spec), elements)
    own = spec if isinstance(spec, Potential) else resolve(spec)
    wanted = list(elements or [symbol for symbol in own.elements if symbol in metals()])
    if not wanted:
        raise MetalffError(f"{own.name} is for {' '.join(own.elements)}, none of which is in the table of metals: {' '.join(metals())}")
    found = []
    for symbol in wanted:
        if symbol not in own.elements:
            raise MetalffError(f"{own.name} has no parameters for {symbol}; it is for {' '.join(own.elements)}")
        found.append(Job(own if own.elements == (symbol,) or isinstance(spec, Potential) else resolve(spec, [symbol]), symbol))
    return found


def _of_template(template: str, elements) -> list[Job]:
    """Of all metals that have one, where no elements are given."""
    found, refused = [], ""
    for symbol in elements or metals():
        try:
            found.append(Job(resolve(template.replace(FIELD, symbol), [symbol]), symbol))
        except MetalffError as error:
            if elements:
                raise
            refused = refused or str(error)
    if not found:
        raise MetalffError(f"{template}: no metal has such a potential ({refused})")
    return found
