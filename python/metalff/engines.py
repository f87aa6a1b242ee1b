"""Engines of one model in this process: opened when they are needed, safe among threads, opened anew after a fork."""

import os
import sys
import warnings
from contextlib import contextmanager
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from metalff.errors import MetalffError, nearest
from metalff.paths import name_python


def model_file(spec) -> Path:
    """The file, absolute, of a path or of the name of a bundled model.

    Raises:
        MetalffError: it is the name of another potential, or of nothing. A path may be that of no file.
    """
    spec = os.path.expanduser(spec)
    if not spec.endswith(".mlff") and not os.path.isfile(spec):
        from metalff.potentials import registry

        if spec in registry.bundled_models():
            return registry.bundled_models()[spec]
        if spec in registry.names() or registry.CHANGED.fullmatch(spec) or registry.ALLOY.fullmatch(spec):
            raise MetalffError(f'{spec} is no .mlff model: metalff.potentials.resolve("{spec}").calculator() is its calculator for ASE')
        if not os.path.exists(spec) and not os.path.isabs(spec):
            registry.refuse_left_out(spec)
            known = nearest(spec, registry.bundled_models())
            raise MetalffError(
                f"there is no file and no bundled model '{spec}'{known}: give the path of a .mlff file, or see 'metalff potentials list'"
            )
    return Path(os.path.abspath(spec))


class Engines:
    """Engines of one file with the same options, as many as there are threads that evaluate at the same time.

    An engine keeps the buffers of its last structure, so no two threads may be in one. Whoever evaluates takes an idle one, opens another where
    there is none, and puts it back. Copies share this object. Pickled, it is only the path, the hash and the options; a forked process leaves the
    engines of its parent alone.

    Args:
        path: of the ``.mlff`` file, or the name of a bundled model, which is another file in another installation.
        sha256: that its manifest must have.
        options: ``precision``, ``device``, ``threads``, ``chunk``, ``programs``, ``engine`` and ``spline`` of the engine.
    """

    def __init__(self, path: str, sha256: str, options: dict):
        self.path, self.sha256, self.options = path, sha256, dict(options)
        self._idle: list[Any] = []
        self._process = os.getpid()

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return Engines, (self.path, self.sha256, self.options)

    @contextmanager
    def one(self):
        """An engine that is nobody else's until the block ends.

        Raises:
            MetalffError: the file cannot be used, or is not the one of ``sha256``.
        """
        if self._process != os.getpid():
            _inherited.append(self._idle)  # their threads are the parent's: not even to be freed here
            self._idle, self._process = [], os.getpid()
        idle = self._idle
        try:
            engine = idle.pop()  # in one step, also among threads
        except IndexError:
            engine = self._open()
        try:
            yield engine
        finally:
            idle.append(engine)

    def _open(self):
        from metalff import _engine

        name_python()
        if _past.device and self.options["device"] != "cpu":
            raise MetalffError(
                f"a process that was forked cannot use the {self.options['device'].split(':')[0]} of its parent: open the model in the new process, and "
                "in none before, or start processes with the method 'spawn'"
            )
        file = str(model_file(self.path))
        single = {**self.options, "threads": 1}
        try:
            engine = _engine.Engine(path=file, **(single if _past.torch else self.options))
            if engine.artifact.sha256 != self.sha256:
                raise MetalffError(
                    f"'{file}' has changed since the calculator was made (its hash was {self.sha256[:12]} and is now "
                    f"{engine.artifact.sha256[:12]}): put the old file back or make a new calculator"
                )
            if _past.torch and self.options["threads"] > 1:
                if engine.engine == "torch":
                    _past.say()
                else:
                    engine = _engine.Engine(path=file, **self.options)
        except _engine.EngineError as error:
            raise MetalffError(str(error)) from error
        _past.opened_torch |= engine.engine == "torch" and self.options["threads"] > 1
        _past.opened_device |= self.options["device"] != "cpu"
        return engine


_inherited: list[list] = []


class _Past:
    """What the processes have done that this one was forked from. The threads of OpenMP, which torch uses, are gone after a fork, and yet it waits
    for them; CUDA refuses to begin again."""

    def __init__(self):
        self.opened_torch = self.opened_device = self._said = False
        # imported for the first time in a process that multiprocessing forked (one that it spawned has the option)
        self.torch = "torch" in sys.modules and parent_process() is not None and "--multiprocessing-fork" not in sys.orig_argv
        self.device = False

    def forked(self):
        self.torch |= self.opened_torch or "torch" in sys.modules
        self.device |= self.opened_device
        self.opened_torch = self.opened_device = self._said = False

    def say(self):
        if not self._said:
            warnings.warn(
                "this process was forked from one that uses torch, whose threads are not there after a fork: the torch engine evaluates on one "
                "thread here; start processes with the method 'spawn' for more",
                stacklevel=2,
            )
            self._said = True


_past = _Past()
os.register_at_fork(after_in_child=_past.forked)
