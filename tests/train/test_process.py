"""The worker's process: progress, log, failure in one sentence, interruption. The workers here are scripts of a few
lines."""

import os
import re
import signal
import sys
import threading
import time

import pytest

from metalff.errors import MetalffError
from metalff.train.process import LOG, Message, Process, claim

PROGRESS = 'print(\'{"epoch": 2, "fraction": 0.5, "force_rmse": 0.1, "energy_rmse": 0.01}\', flush=True)\n'


def run(out, script, progress=lambda message: None):
    with claim(out) as lock:
        Process([sys.executable, "-c", script], out, lock).run(progress)


def test_progress_and_log(tmp_path):
    messages = []
    run(tmp_path, 'print("a note")\n' + PROGRESS + 'print("[1]")', messages.append)
    assert messages == [Message(epoch=2, fraction=0.5, force_rmse=0.1, energy_rmse=0.01)]
    note, epoch, other = (tmp_path / LOG).read_text().splitlines()
    assert (note, other) == ("a note", "[1]")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d epoch 2: force RMSE 0.1000 eV/Å, energy RMSE 10.00 meV/atom, 50% done", epoch)


def test_steps_within_an_epoch_are_told_but_seldom_logged(tmp_path):
    steps = "".join(
        f'print(\'{{"epoch": 0, "fraction": 0.{n}, "force_rmse": null, "energy_rmse": null, "step": {n}, "steps": 10}}\')\n' for n in range(1, 9)
    )
    messages = []
    run(tmp_path, steps + PROGRESS, messages.append)
    assert [str(message) for message in messages[:2]] == ["epoch 1, step 1 of 10", "epoch 1, step 2 of 10"] and len(messages) == 9
    (line,) = (tmp_path / LOG).read_text().splitlines()
    assert "epoch 2: " in line and re.search(r"50% done, 0:00:0\d left$", line), "eight steps in less than a minute are no lines of the log"


def test_worker_has_its_own_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = "import os, sys; print(os.getcwd(), os.getppid() == int(sys.argv[1]), 'PYTHONPATH' in os.environ, 'OMP_NUM_THREADS' in os.environ)"
    run(tmp_path, script)
    assert (tmp_path / LOG).read_text().split() == [str(tmp_path), "True", "False", "False"]


FAILURES = [
    ("import sys; sys.exit('use a lower learning rate')", "the training failed: use a lower learning rate; the log is"),
    ("raise OSError(28, 'No space left on device')", "No space left on device; the log is"),
    ("import sys; print('chatter'); sys.exit('too high')", "failed: too high; the log is"),
    ("import sys; sys.exit(3)", "the worker ended with status 3"),
    ("import os; os.kill(os.getpid(), 9)", r"ended by SIGKILL, as .* memory is full; if it was, use a smaller --batch-size"),
    ("bytearray(10**15)", "failed: the memory is full; use a smaller --batch-size, a smaller model"),
    ("import torch; torch.empty(10**15, dtype=torch.int8)", r"memory is full \(another 1000000.0 GB were asked for\); use"),
    ("import sys; sys.stderr.write('MemoryError once'); sys.stderr.write(chr(10)); sys.exit('another')", "failed: another;"),
    ("import sys; sys.stderr.write('a warning'); sys.exit(130)", "was told to end, .* the same command goes on"),
    ("import os; os.kill(os.getpid(), 6)", "ended by SIGABRT;"),
]


@pytest.mark.parametrize("script, sentence", FAILURES)
def test_failure(tmp_path, script, sentence):
    (tmp_path / LOG).write_text("the last line of an earlier run\n")
    with pytest.raises(MetalffError, match=sentence) as error:
        run(tmp_path, script)
    assert "\n" not in str(error.value)


WAITING = """
import signal, sys, time
def save(*_):
    open("saved", "w").close()
    print("saved", flush=True)
    sys.exit(130)
signal.signal(signal.SIGTERM, save)
"""


def test_interruption_lets_the_worker_save(tmp_path):
    def interrupt(message):
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, WAITING + PROGRESS + "time.sleep(1000)", interrupt)
    assert (tmp_path / "saved").exists()


def test_second_interruption_kills(tmp_path):
    stubborn = "import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: None)\n" + PROGRESS + "while True: time.sleep(1)"

    def interrupt(message):
        threading.Thread(target=lambda: (time.sleep(0.5), os.kill(os.getpid(), signal.SIGINT))).start()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stubborn, interrupt)


def test_one_process_per_directory(tmp_path):
    with claim(tmp_path), pytest.raises(MetalffError, match="another process trains in"), claim(tmp_path):
        pass
    with claim(tmp_path):
        pass
