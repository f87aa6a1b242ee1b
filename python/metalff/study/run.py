"""Run the trials of a study: several at a time, within a budget; what is in the record is not trained again."""

import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

from metalff.errors import MetalffError
from metalff.study.record import Record
from metalff.study.trial import Trial, run


class Study:
    """A record and the folder where trainings run.

    Args:
        record: gets each result as it comes.
        jobs: trainings at a time, each with one thread.
        go_on: no training starts any more when it says False.
        bar: shows progress; an object with ``update(title, done, total, left)`` and ``line(text)``, such as ``progress.Bar``.
        carry_out: called as ``trial.run``, whose results it gives.
    """

    def __init__(self, record: Record, jobs: int, go_on, bar, carry_out=run):
        self.record, self.jobs, self.go_on, self.bar, self.carry_out = record, jobs, go_on, bar, carry_out
        self.work = record.path.parent / "work"

    def run(self, trials: list[Trial]) -> bool:
        """Run what is missing, in order.

        Returns:
            whether every trial has its result.
        Raises:
            KeyboardInterrupt: the trainings have saved their states.
        """
        todo = {}
        for trial in trials:
            if trial.key not in self.record.trials:
                todo.setdefault(trial.key, trial)
        done, total = len({t.key for t in trials}) - len(todo), len({t.key for t in trials})
        if not todo:
            return True
        complete, running, waiting = True, {}, list(todo.values())
        spent, finished = 0.0, 0
        stop = threading.Event()
        pool = ThreadPoolExecutor(self.jobs)  # trainings are processes of their own
        try:
            while waiting or running:
                if waiting and not self.go_on():
                    complete, waiting = False, []
                    self.bar.line(f"the budget is spent; {done + len(running)} of {total} trainings; the same command goes on")
                while waiting and len(running) < self.jobs:
                    trial = waiting.pop(0)
                    running[pool.submit(timed, trial, self.work, stop, self.carry_out)] = trial
                left = spent / finished * (len(waiting) + len(running) / 2) / self.jobs if finished else None
                self.bar.update("; ".join(t.title for t in running.values())[:120], done, total, left)
                for future in wait(running, timeout=5.0, return_when=FIRST_COMPLETED).done:
                    trial = running.pop(future)
                    try:
                        row, seconds = future.result()
                    except MetalffError as error:
                        complete = False
                        self.record.fail(trial.key, trial.title, str(error))
                        self.bar.line(f"{trial.title}: {error}")
                        continue
                    done, finished, spent = done + 1, finished + 1, spent + seconds
                    self.record.add(trial.key, row)
                    value = row["test"]["all"]
                    share = f"{100 * value['normalised'][0]:.1f}% of the RMS force" if value["normalised"] else "no forces to compare with"
                    self.bar.line(f"{trial.title}: force RMSE {value['force_rmse'][0]:.4f} eV/Å, {share}, {seconds:.0f} s")
        except BaseException:
            stop.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        self.bar.update("", done, total, None)
        return complete


def timed(trial: Trial, work: Path, stop: threading.Event, carry_out=run) -> tuple[dict, float]:
    """Result of a trial and its seconds, reading included; after ``stop`` the training ends, saved, with its next epoch."""

    def progress(message):
        if stop.is_set():
            raise KeyboardInterrupt

    start = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    return carry_out(trial, work, progress), time.monotonic() - start
