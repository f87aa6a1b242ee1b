"""The smearing dose: the same structures labelled at several electronic temperatures, learnt by the same models.

Labels are those of a queue (``metalff dft``) whose plan lists several widths: nothing else differs between them. Only structures that have a label at every
width count, so that every model has the same structures. Whole runs of molecular dynamics are dealt out to folds; each fold is tested on once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metalff.data import Frame, layout
from metalff.data.metals import metals
from metalff.dft.noise import table as noise_table
from metalff.dft.plan import set_name
from metalff.dft.queue import Queue
from metalff.dft.sets import frames_by_task
from metalff.errors import MetalffError, nearest
from metalff.study import folds
from metalff.study.models import settings
from metalff.study.record import bullets
from metalff.study.trial import Trial

FEWEST = 24
"""Structures with labels at every width below which a metal is not judged."""

FOLDS = 4


@dataclass(frozen=True)
class Metal:
    """Labels of one metal, as far as they are made.

    Attributes:
        symbol: of the metal.
        part: of the plan.
        widths: eV.
        planned: structures.
        frames: {width: frames}, the same structures in the same order at every width.
        runs: [K] the run of molecular dynamics that each is of.
        noise: {width: eV/Å}, RMS difference of forces from those of a finer k-mesh, where it was measured.
    """

    symbol: str
    part: str
    widths: tuple[float, ...]
    planned: int
    frames: dict[float, tuple[Frame, ...]]
    runs: tuple
    noise: dict[float, float]

    @property
    def count(self) -> int:
        """Structures with labels at every width."""
        return len(self.runs)

    @property
    def judged(self) -> bool:
        return self.count >= FEWEST and len(set(self.runs)) >= FOLDS

    def at(self, width: float) -> "Metal":
        """The same with the labels of one width alone."""
        return replace(self, widths=(width,), frames={width: self.frames[width]})

    def files(self, out: Path) -> dict[float, list[tuple[str, str]]]:
        """Files of each fold at each width; folds have the same structures."""
        runs = {}
        for k, run in enumerate(self.runs):
            runs.setdefault(run, []).append(k)
        dealt = folds.deal(list(runs.values()), FOLDS)
        return {
            width: folds.write_folds([[frames[k] for k in fold] for fold in dealt], out / "data" / f"{self.symbol}-{width:g}eV")
            for width, frames in self.frames.items()
        }


def labelled(folder: Path, several: bool = True) -> list[Metal]:
    """The metals of a queue, in the order of its plan.

    Args:
        several: only of parts that list several widths.
    Raises:
        MetalffError: no queue, a damaged set, or no such part.
    """
    queue = Queue(folder)
    parts = [part for part in queue.plan.parts if None not in queue.plan.widths(part)]
    if several and not (parts := [part for part in parts if len(queue.plan.widths(part)) > 1]):
        raise MetalffError(f"{folder}: no part of its plan lists several widths; give smearing: [0.1, 0.5] and make the queue again")
    noise = {(row.set, row.source): row.rms for row in noise_table(queue) if row.repeat.startswith("k")}
    found = []
    for part in parts:
        widths = tuple(sorted(queue.plan.widths(part)))
        names = {set_name(part.name, width): width for width in widths}
        frames = {name: _frames(queue, name) for name in names}
        tasks: dict[str, dict[int, dict[str, object]]] = {}
        for task in queue.tasks:
            if task.set in names:
                tasks.setdefault(task.source, {}).setdefault(task.index, {})[task.set] = task
        for source, structures in tasks.items():
            symbol = _metal(queue, next(iter(next(iter(structures.values())).values())))
            kept = [own for own in structures.values() if len(own) == len(names) and all(task.id in frames[name] for name, task in own.items())]
            said = [next(queue.packed(name)[task.id] for name, task in own.items()) for own in kept]
            found.append(
                Metal(
                    symbol,
                    part.name,
                    widths,
                    len(structures),
                    {width: tuple(_named(frames[name][own[name].id], own[name]) for own in kept) for name, width in names.items()},
                    tuple(words.get("run", k) for k, words in enumerate(said)),
                    {width: noise[name, source] for name, width in names.items() if (name, source) in noise},
                )
            )
    return found


def _frames(queue: Queue, name: str) -> dict[str, Frame]:
    folder, found = queue.folder / "sets" / name, {}
    for file in layout.manifest(folder).get("files", {}):
        found |= frames_by_task(folder / file)
    return found


def _named(frame: Frame, task) -> Frame:
    """The same frame under the name of its structure, which it has at every width."""
    return replace(frame, source=task.source, index=task.index)


def _metal(queue: Queue, task) -> str:
    symbols = set(queue.structure(task).symbols)
    if len(symbols) > 1 or not symbols <= set(metals()):
        raise MetalffError(f"{queue.folder}: {task.source} is no metal of one element; this study takes one metal at a time")
    return symbols.pop()


def chosen(found: list[Metal], symbols: Sequence[str]) -> list[Metal]:
    """Those of these symbols, or all.

    Raises:
        MetalffError: the plan lacks one.
    """
    known = [metal.symbol for metal in found]
    for symbol in symbols:
        if symbol not in known:
            raise MetalffError(f"{symbol} has no labels at several widths{nearest(symbol, known)}; choose among {' '.join(known)}")
    return [metal for metal in found if not symbols or metal.symbol in symbols]


def state(found: list[Metal]) -> str:
    """Which metals can be judged today, in a sentence."""
    ready = [metal.symbol for metal in found if metal.judged]
    waiting = [f"{metal.symbol} {metal.count} of {metal.planned}" for metal in found if not metal.judged]
    said = f"can be judged today: {' '.join(ready) or 'none'}"
    if waiting:
        said += f"; labels at every width: {', '.join(waiting)} (a metal needs {FEWEST}, of {FOLDS} runs)"
    return said


def trials(found: list[Metal], out: Path, families: Sequence[str], seeds: Sequence[int]) -> list[Trial]:
    """All trainings on the metals that can be judged, with the settings of ``models``."""
    made = []
    for metal in found:
        if metal.judged:
            own = {family: settings(metal.symbol, family) for family in families}
            for width, files in metal.files(out).items():
                made += folds.trials(files, own, seeds, {"metal": metal.symbol, "width": width})
    return made


def lines(found: list[Metal], rows: list[dict]) -> list[dict]:
    """One line per metal, family and width.

    ``ratio`` and its interval: force RMSE at this width ÷ that at the smallest, of the same structures; ``normalised_ratio`` likewise of normalised errors.
    ``without_noise``: force RMSE with the noise of the labels taken out in squares, eV/Å; none where the noise is not known.
    """
    made = []
    for metal in found:
        for family in dict.fromkeys(row["family"] for row in rows):
            own = {
                width: folds.pooled([r for r in rows if (r["labels"]["metal"], r["labels"]["width"], r["family"]) == (metal.symbol, width, family)])
                for width in metal.widths
            }
            first = own[metal.widths[0]]
            for width, errors in own.items():
                if errors is None or errors.folds < FOLDS:
                    continue
                line = {"element": metal.symbol, "family": family, "width": width, "frames": errors.frames, "folds": errors.folds}
                line |= {"seeds": errors.seeds, "force_rms": errors.force_rms, "force_rmse": errors.force_rmse}
                line |= {"normalised": errors.normalised, "low": errors.low, "high": errors.high, "noise": metal.noise.get(width)}
                if (noise := metal.noise.get(width)) is not None:
                    line["without_noise"] = float(np.sqrt(max(0.0, errors.force_rmse**2 - noise**2)))
                if first is not None and first.folds == FOLDS and width != metal.widths[0]:
                    middle, low, high = folds.ratio(errors, first)
                    share = first.force_rms / errors.force_rms
                    line |= {"ratio": middle, "ratio_low": low, "ratio_high": high}
                    line |= {f"normalised_{key}": value * share for key, value in (("ratio", middle), ("ratio_low", low), ("ratio_high", high))}
                made.append(line)
    return made


def statements(made: list[dict]) -> list[str]:
    """What the lines say, in sentences with the numbers in them."""
    said = []
    compared = [line for line in made if "ratio" in line]
    for family in dict.fromkeys(line["family"] for line in compared):
        own = [line for line in compared if line["family"] == family]
        for width in dict.fromkeys(line["width"] for line in own):
            here = sorted((line for line in own if line["width"] == width), key=lambda line: line["ratio"])
            falls = [line["element"] for line in here if line["ratio_high"] < 1]
            grows = [line["element"] for line in here if line["ratio_low"] > 1]
            each = ", ".join(
                f"{line['element']} {line['ratio']:.2f} ({line['ratio_low']:.2f}–{line['ratio_high']:.2f}; normalised {line['normalised_ratio']:.2f})"
                for line in here
            )
            said.append(
                f"{family}, {width:g} eV against the smallest width: the force RMSE falls for {len(falls)} of {len(here)} metals "
                f"({' '.join(falls) or 'none'}), grows for {len(grows)} ({' '.join(grows) or 'none'}; 95 % interval on one side of 1); ratios: {each}."
            )
    return said


def markdown(made: list[dict], found: list[Metal]) -> str:
    """The lines as a table, the statements, and what could not be judged."""
    text = [
        "| metal | family | width, eV | frames | RMS force | force RMSE | k-noise | without it, meV/Å | normalised, % | RMSE ÷ that at the smallest width |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    for line in made:
        milli = [f"{1e3 * line[key]:.1f}" if line.get(key) is not None else "" for key in ("force_rms", "force_rmse", "noise", "without_noise")]
        share = f"{100 * line['normalised']:.2f} ({100 * line['low']:.2f}–{100 * line['high']:.2f})"
        against = f"{line['ratio']:.2f} ({line['ratio_low']:.2f}–{line['ratio_high']:.2f})" if "ratio" in line else ""
        words = [line["element"], line["family"], f"{line['width']:g}", str(line["frames"]), *milli, share, against]
        text.append(f"| {' | '.join(words)} |")
    return "\n".join([*(text if made else []), "", *bullets([*statements(made), state(found)])]).lstrip() + "\n"


def figure(made: list[dict]):
    """Force RMSE, absolute and normalised, at each width, metal by metal; a panel pair for each family. The noise of labels is a grey line."""
    from matplotlib.figure import Figure

    families = list(dict.fromkeys(line["family"] for line in made))
    metals_ = list(dict.fromkeys(line["element"] for line in made))
    widths = sorted({line["width"] for line in made})
    drawn = Figure(figsize=(9, 3.2 * len(families)), dpi=150, layout="constrained")
    axes = drawn.subplots(len(families), 2, squeeze=False)
    colours = ["#d1566e", "#3b7dd8", "#5a9e6f", "#8b949e"]
    for row, family in zip(axes, families):
        for panel, key, scale in ((row[0], "force_rmse", 1e3), (row[1], "normalised", 100)):
            for k, width in enumerate(widths):
                own = [line for line in made if line["family"] == family and line["width"] == width]
                at = [metals_.index(line["element"]) + 0.8 * (k + 0.5) / len(widths) - 0.4 for line in own]
                value = np.array([scale * line[key] for line in own])
                spread = np.array([[v * (1 - n["low"] / n["normalised"]), v * (n["high"] / n["normalised"] - 1)] for v, n in zip(value, own)]).T
                panel.bar(at, value, 0.75 / len(widths), color=colours[k % len(colours)], label=f"{width:g} eV")
                panel.errorbar(at, value, spread, fmt="none", ecolor="#1b2430", elinewidth=0.8)
                if key == "force_rmse":
                    known = [(x, 1e3 * line["noise"]) for x, line in zip(at, own) if line.get("noise") is not None]
                    if known:
                        panel.hlines(
                            [y for _, y in known],
                            [x - 0.35 / len(widths) for x, _ in known],
                            [x + 0.35 / len(widths) for x, _ in known],
                            color="#111",
                        )
            panel.set_xticks(range(len(metals_)), metals_)
            panel.grid(axis="y", alpha=0.3)
        row[0].set(ylabel="force RMSE (meV/Å)", title=f"{family}; line: noise of the labels")
        row[1].set(ylabel="force RMSE ÷ RMS force (%)", title=family)
    axes[0][0].legend(frameon=False, title="Fermi–Dirac width")
    return drawn
