"""Calculators for the queue, in the part of DFT: EMT, slow, stubborn, hopeless. ``label_worker`` imports them by name."""

import os
import signal
import time

from ase.calculators.calculator import CalculationFailed
from ase.calculators.emt import EMT


class Slow(EMT):
    """Takes its time, or waits until a file exists, and notes each calculation in a file."""

    def __init__(self, seconds=0.0, log=None, until=None):
        super().__init__()
        self.seconds, self.log, self.until = seconds, log, until

    def calculate(self, *arguments, **keywords):
        if self.log:
            with open(self.log, "a") as stream:
                stream.write("one\n")
        time.sleep(self.seconds)
        while self.until and not os.path.exists(self.until):
            time.sleep(0.05)
        super().calculate(*arguments, **keywords)


class Stubborn(EMT):
    """Converges only where the mixing is careful enough; never where there is vacuum."""

    def __init__(self, mixing=0.5, never=False):
        super().__init__()
        self.mixing, self.never = mixing, never

    def calculate(self, *arguments, **keywords):
        if self.never or self.mixing > 0.1:
            raise CalculationFailed("the density did not converge")
        super().calculate(*arguments, **keywords)


class Broken(EMT):
    """Gives numbers that are none."""

    def calculate(self, *arguments, **keywords):
        super().calculate(*arguments, **keywords)
        self.results["forces"][0, 0] = float("nan")


class Dies(EMT):
    """Is killed, as by a system without memory, so many times; counts in a file."""

    def __init__(self, log, times):
        super().__init__()
        self.log, self.times = log, times

    def calculate(self, *arguments, **keywords):
        with open(self.log, "a+") as stream:
            stream.write("one\n")
            stream.seek(0)
            count = len(stream.readlines())
        if count <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        super().calculate(*arguments, **keywords)


class Full(EMT):
    """Writes to a disk that has no space left."""

    def calculate(self, *arguments, **keywords):
        raise OSError(28, "No space left on device")


class Short(EMT):
    """Gives forces of too few atoms for a structure with an atom far from its place."""

    def calculate(self, *arguments, **keywords):
        super().calculate(*arguments, **keywords)
        if self.atoms.info.get("temperature") is None and len(self.atoms) == 4 and self.atoms.positions[0, 0] < 0:
            self.results["forces"] = self.results["forces"][:2]


class Crashes(EMT):
    """Ends with a signal, or without a word."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def calculate(self, *arguments, **keywords):
        if not self.number:
            os._exit(0)
        os.kill(os.getpid(), self.number)
