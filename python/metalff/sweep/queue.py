"""What is to be run, what runs, and what became of it; the same for every executor."""

import shutil
from dataclasses import replace
from pathlib import Path

from metalff.sweep.attempt import Outcome, goes_on, settle
from metalff.sweep.expand import MD
from metalff.sweep.job import JobFolder
from metalff.sweep.record import Record

CANCEL = ".cancel"
"""A file of this name in the output folder asks the manager to stop."""


class Queue:
    """Jobs of a plan, sorted by what their folders hold.

    Args:
        record: kept up to date and written at each change.
        progress: see ``run.run_jobs``.
        retry_failed: run again what has exploded or lost atoms, from the beginning.
        redo: run again what was run with other inputs.

    Attributes:
        stale: jobs that were run with other inputs, which are kept.
        failed: jobs whose failure is a result.
    """

    def __init__(self, folders: list[JobFolder], record: Record, out: Path, progress, retry_failed: bool = False, redo: bool = False):
        self.folders, self.record, self.out, self.progress = folders, record, out, progress
        self.waiting: list[JobFolder] = []
        self.stale: list[JobFolder] = []
        self.failed: list[JobFolder] = []
        self.cancelled: list[JobFolder] = []
        self.running: set[str] = set()
        self.repeated: set[str] = set()
        self.done: dict[str, JobFolder] = {}
        for name, job in record.others().items():
            if job["status"] == "finished" and folders:
                self.done[job["hash"]] = JobFolder(out, replace(folders[0].job, id=name, kind=job["kind"], engine=job["engine"]))
        for folder in folders:
            self._sort(folder, retry_failed, redo)
        record.write()

    def _sort(self, folder: JobFolder, retry_failed: bool, redo: bool) -> None:
        found = folder.record()
        if folder.is_locked():
            self.waiting.append(folder)
            return
        if folder.is_stale():
            if not redo:
                self.stale.append(folder)
                self.record.update(folder, stale=folder.changes(), hash=found["hash"])
                return
            folder.forget()
        elif found["status"] == "finished" and found["hash"] == folder.job.hash:  # of properties with more to measure it differs
            if folder.is_whole():
                folder.clean()
                self._note_done(folder)
                return
            self.progress.line(f"{folder.job.id}: a file of its results is missing; it is run again")
            folder.forget()
        elif found["status"] == "failed" and not goes_on(found):
            if not retry_failed:
                self.failed.append(folder)
                self.record.update(folder)
                return
            folder.forget()
        self.waiting.append(folder)

    def _note_done(self, folder: JobFolder) -> None:
        self.record.update(folder)
        self.done.setdefault(folder.job.hash, folder)

    def take(self) -> JobFolder | None:
        """The next job to run; None while there is none. One whose inputs are those of a finished job takes its results; one whose inputs are those
        of a running job waits, and one to which a program of an earlier manager still writes."""
        later = []
        try:
            while self.waiting:
                folder = self.waiting.pop(0)
                if folder.is_locked():
                    later.append(folder)
                    continue
                if self._has_ended(folder):
                    continue
                same = self.done.get(folder.job.hash)
                if same is not None and folder.job.kind in MD and same.is_whole():
                    shutil.rmtree(folder.path / "segments", ignore_errors=True)
                    result = folder.take_from(same)
                    self.record.update(folder)
                    self.record.write()
                    self.progress.finished(folder, result)
                elif folder.job.hash in self.running:
                    later.append(folder)
                else:
                    self.running.add(folder.job.hash)
                    self.record.content["jobs"][folder.job.id]["status"] = "running"
                    self.record.write()
                    return folder
        finally:
            self.waiting = later + self.waiting
        return None

    def give_back(self, folder: JobFolder) -> None:
        """One that could not be begun."""
        self.running.discard(folder.job.hash)
        self.waiting.append(folder)

    def _has_ended(self, folder: JobFolder) -> bool:
        """Whether what an earlier manager has started is complete by now; its results are made."""
        found = folder.record()
        if found.get("hash") != folder.job.hash or found["status"] != "running":
            return False
        if folder.segments() and folder.is_complete():
            self.put_back(folder, settle(folder, "", self.out))
            return True
        return False

    def put_back(self, folder: JobFolder, outcome: Outcome) -> None:
        """What became of a job."""
        self.running.discard(folder.job.hash)
        if outcome.status == "again" and folder.job.id not in self.repeated:
            self.repeated.add(folder.job.id)
            self.progress.repeated(folder, outcome.step)
            self.waiting.append(folder)
            return
        if outcome.status == "again":
            folder.fail("error", outcome.sentence)
        if outcome.status == "finished":
            self._note_done(folder)
            self.record.write()
            self.progress.finished(folder, outcome.record)
            return
        self.record.update(folder)
        self.record.write()
        if outcome.status == "cancelled":
            self.cancelled.append(folder)
            self.progress.cancelled(folder)
        else:
            self.failed.append(folder)
            self.progress.failed(folder, outcome.sentence)

    def drop_waiting(self) -> None:
        """Start nothing more."""
        self.waiting = []

    def all_finished(self) -> bool:
        return all(folder.record()["status"] == "finished" for folder in self.folders) and not self.stale
