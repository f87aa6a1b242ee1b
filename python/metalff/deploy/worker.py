"""Run the part of a deployment that needs a family's framework."""

import json
import subprocess
import tempfile
from pathlib import Path

from metalff.environments import environment_python
from metalff.errors import MetalffError


def run_worker(
    family: str,
    worker: Path,
    given: Path,
    out: Path,
    say,
    *arguments: str,
    python: Path | None = None,
    source: Path | None = None,
) -> None:
    """``worker GIVEN OUT [ARGUMENTS]`` in the family's environment, or with another Python; its lines ``{"say": …}`` go to ``say``.

    Args:
        source: what the user gave, where that is not ``given`` but holds it; for the message.

    Raises:
        MetalffError: no environment, or the worker stopped; with its last line.
    """
    command = [str(python or environment_python(family)), "-P", str(worker), str(given.resolve()), str(out), *arguments]
    with (
        tempfile.TemporaryFile("w+") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        for line in process.stdout:
            if line.startswith('{"say"'):
                say(json.loads(line)["say"])
        if process.wait() != 0:
            stderr.seek(0)
            reason = (stderr.read().strip().splitlines() or ["no message"])[-1]
            raise MetalffError(f"'{source or given}' could not be deployed: {reason}")
