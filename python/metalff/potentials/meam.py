"""MEAM libraries: entries of elements, and the same potential with its angular weights scaled, its cutoff widened, its screening off, sharper or softer.

The partial electron densities of MEAM are ρ⁽⁰⁾, without angles, and ρ⁽¹⁾, ρ⁽²⁾, ρ⁽³⁾, of angular momentum 1 to 3. They are weighted by t1, t2
and t3 (Baskes, Phys. Rev. B 46, 2727 (1992)): with all three zero nothing of the electron density depends on angles but the screening.
"""

import hashlib
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from metalff.errors import MetalffError
from metalff.lammps import as_word
from metalff.paths import atomic_write, cache_dir

WORDS = 19
"""Of an entry: name, lattice, z, atomic number, mass; alpha, b0–b3, alat, esub, asub; t0–t3, rozero, ibar."""

FIRST_T = 14
"""Position of t1."""

SCREENED = {"min": 2.0, "max": 2.8}
"""Cmin and Cmax of LAMMPS where the parameter file says nothing."""

HALF = 1 - (1 - 0.5**0.5) ** 0.25
"""Where on the way from Cmin (0) to Cmax (1) a third atom halves a pair: the switching function is (1 − (1 − x)⁴)²."""


@dataclass(frozen=True)
class LibraryEntry:
    """One element of a library.

    Attributes:
        name: as the library has it.
        words: all ``WORDS`` words, quotes removed.
    """

    name: str
    words: tuple[str, ...]

    @property
    def lattice(self) -> str:
        """Of the reference structure."""
        return self.words[1]

    @property
    def alpha(self) -> float:
        return float(self.words[5])

    @property
    def alat(self) -> float:
        """Lattice constant, Å."""
        return float(self.words[10])

    @property
    def esub(self) -> float:
        """Cohesive energy, eV/atom."""
        return float(self.words[11])

    @property
    def angular(self) -> tuple[float, float, float]:
        """t1, t2, t3."""
        return tuple(float(word) for word in self.words[FIRST_T : FIRST_T + 3])

    def scaled(self, factor: float) -> "LibraryEntry":
        """With t1, t2 and t3 times ``factor``."""
        t = [repr(factor * value) for value in self.angular]
        return replace(self, words=(*self.words[:FIRST_T], *t, *self.words[FIRST_T + 3 :]))

    def __str__(self) -> str:
        w = self.words
        lines = [f"'{w[0]}' '{w[1]}' {' '.join(w[2:5])}", " ".join(w[5:13]), " ".join(w[13:])]
        return "\n".join(lines)


def read_library(path: Path) -> dict[str, LibraryEntry]:
    """Entries by name; of several with one name the first, which is what LAMMPS takes.

    Raises:
        MetalffError: not a MEAM library.
    """
    words = []
    for line in Path(path).read_text("utf-8", errors="replace").splitlines():
        words += line.partition("#")[0].split()
    found = {}
    for k in range(0, len(words), WORDS):
        entry = words[k : k + WORDS]
        try:
            if len(entry) < WORDS:
                raise ValueError
            for word in entry[2:]:
                float(word)
        except ValueError:
            raise MetalffError(f"{path} is not a MEAM library: its entry {len(found) + 1} cannot be read") from None
        name = entry[0].strip("'\"")
        found.setdefault(name, LibraryEntry(name, (name, entry[1].strip("'\""), *entry[2:])))
    return found


def scale_angular(potential, factor: float):
    """The potential with t1, t2 and t3 of its own elements times ``factor``; its library is written into the cache.

    Args:
        potential: a ``metalff.potentials.Potential`` of kind meam.
    Raises:
        MetalffError: not MEAM.
    """
    if potential.kind != "meam":
        raise MetalffError(f"{potential.name} is not MEAM: only MEAM has angular weights t")
    library = potential.files[0]
    entries = read_library(library)
    line = shlex.split(potential.pair_coeff[0])
    own = set(line[-len(potential.elements) :])
    missing = next((name for name in own if name not in entries), None)
    if missing:
        raise MetalffError(f"{library.name} has no element {missing}; it has {' '.join(entries)}")
    listed = [word for word in line[3:] if word in entries]
    chosen = [entries[name] for name in dict.fromkeys(listed)]
    text = f"# {library.name} with t1, t2, t3 of {' '.join(sorted(own))} times {factor:g}\n"
    text += "\n".join(str(entry.scaled(factor) if entry.name in own else entry) for entry in chosen) + "\n"
    path, digest = cached(potential, text, "library.meam")
    return replace(
        potential,
        name=changed_name(potential.name, f"t={factor:g}"),
        label=f"{potential.label}, t × {factor:g}",
        files=(path, *potential.files[1:]),
        sha256=digest,
        pair_coeff=tuple(coeff.replace(as_word(library), as_word(path)) for coeff in potential.pair_coeff),
    )


def cached(potential, text: str, ending: str) -> tuple[Path, str]:
    """A file with this text in the cache, and the hash of the potential that has it in the place of its own."""
    digest = hashlib.sha256(text.encode() + potential.sha256.encode()).hexdigest()
    path = cache_dir() / "meam" / f"{digest[:16]}.{ending}"
    if not path.exists() or path.read_text("utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as stream:
            stream.write(text)
    return path, digest


def widen_cutoff(potential, delr: float):
    """The potential with its densities and pair terms cut off smoothly over ``delr`` (Å) below its cutoff; most are cut within 0.1 Å.

    Args:
        potential: a ``metalff.potentials.Potential`` of kind meam.
    Raises:
        MetalffError: not MEAM, or ``delr`` is not above zero and below the cutoff.
    """
    if potential.kind != "meam":
        raise MetalffError(f"{potential.name} is not MEAM: only MEAM has a width delr of its cutoff")
    if not 0 < delr < (potential.cutoff or delr + 1):
        raise MetalffError(f"{potential.name}[delr={delr:g}]: delr must be above 0 and below the cutoff of {potential.cutoff:g} Å")
    return _with_parameters(potential, f"delr={delr:g}", f"delr {delr:g} Å", "delr", [f"delr = {delr:g}"])


def screen(potential, factor: float):
    """The potential without many-body screening: every neighbour within the cutoff counts in full, whatever stands between.

    A third atom screens a pair by its C, which is 0 on the line between them and grows away from it (Baskes, Mater. Chem. Phys. 50, 152 (1997)): fully
    below Cmin, not above Cmax. Here both lie below all C.

    Args:
        potential: a ``metalff.potentials.Potential`` of kind meam.
        factor: 0 for none, 1 for its own.
    Raises:
        MetalffError: not MEAM, or another factor: screening cannot be scaled.
    """
    if potential.kind != "meam":
        raise MetalffError(f"{potential.name} is not MEAM: only MEAM has a screening")
    if factor not in (0, 1):
        raise MetalffError(f"{potential.name}[screen={factor:g}]: screening is 0 (none) or 1 (its own)")
    if factor == 1:
        return potential
    types = range(1, len(listed_names(potential)) + 1)
    lines = [f"C{end}({i},{j},{k}) = {value}" for end, value in (("min", -2), ("max", -1)) for i in types for j in types for k in types]
    return _with_parameters(potential, "screen=0", "unscreened", "C(min|max)", lines)


def scale_screening(potential, factor: float):
    """The potential with the range Cmin … Cmax of its own elements' many-body screening times ``factor``, about the C at which a third atom halves a pair.

    Below 1 the screening sets in more sharply as atoms move, towards a step; above 1 more softly.

    Args:
        potential: a ``metalff.potentials.Potential`` of kind meam.
    Raises:
        MetalffError: not MEAM, or a factor that is not above zero or leaves no Cmax above 1.
    """
    if potential.kind != "meam":
        raise MetalffError(f"{potential.name} is not MEAM: only MEAM has a screening")
    if not factor > 0:
        raise MetalffError(f"{potential.name}[cwidth={factor:g}]: cwidth must be above 0; screen=0 is no screening")
    words, listed = shlex.split(potential.pair_coeff[0]), listed_names(potential)
    own = sorted({listed.index(name) + 1 for name in words[-len(potential.elements) :]})
    given, triples = _screening(potential), [(i, j, k) for i in own for j in own for k in own]
    lines = []
    for triple in triples:
        low, high = (given.get((end, *triple), default) for end, default in SCREENED.items())
        middle = low + HALF * (high - low)
        ends = {end: middle + factor * (value - middle) for end, value in (("min", low), ("max", high))}
        if ends["max"] <= 1:
            raise MetalffError(
                f"{potential.name}[cwidth={factor:g}]: Cmax would be {ends['max']:.3g}, and LAMMPS takes none below 1: give a larger cwidth"
            )
        lines += [f"C{end}({','.join(map(str, triple))}) = {value:.8g}" for end, value in ends.items()]
    scaled = "|".join(rf"{i}\s*,\s*{j}\s*,\s*{k}" for i, j, k in triples)
    return _with_parameters(potential, f"cwidth={factor:g}", f"Cmin to Cmax × {factor:g}", rf"C(min|max)\s*\(\s*({scaled})\s*\)", lines)


def _screening(potential) -> dict[tuple, float]:
    """Cmin and Cmax of the parameter file: (min or max, i, j, k) → value, as LAMMPS reads them: those of j, i, k with j < i are those of i, j, k."""
    pattern = r"^\s*C(min|max)\s*\(\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\)\s*=\s*([^\s#]+)"
    found = {(end, int(i), int(j), int(k)): float(v) for end, i, j, k, v in re.findall(pattern, parameter_text(potential), re.MULTILINE)}
    return found | {(end, j, i, k): value for (end, i, j, k), value in found.items() if i < j}


def listed_names(potential) -> list[str]:
    """Names of library entries, in the order of the indices of the parameter file."""
    words = shlex.split(potential.pair_coeff[0])
    return words[3 : len(words) - len(potential.elements) - 1]


def parameter_text(potential) -> str:
    """The parameter file; empty where there is none."""
    words = shlex.split(potential.pair_coeff[0])
    name = words[len(words) - len(potential.elements) - 1]
    return "" if name == "NULL" else Path(name).read_text("utf-8", errors="replace")


def _with_parameters(potential, change: str, said: str, old: str, lines: list[str]):
    """The potential with ``lines`` in its parameter file in place of those whose key matches ``old``."""
    words = shlex.split(potential.pair_coeff[0])
    at = len(words) - len(potential.elements) - 1
    kept = [line for line in parameter_text(potential).splitlines() if not re.match(rf"\s*{old}\s*(\(|=)", line)]
    path, digest = cached(potential, "\n".join([*kept, *lines]) + "\n", "meam")
    words[at] = str(path)
    return replace(
        potential,
        name=changed_name(potential.name, change),
        label=f"{potential.label}, {said}",
        files=(potential.files[0], path),
        sha256=digest,
        pair_coeff=(" ".join(map(as_word, words)),),
    )


def changed_name(name: str, change: str) -> str:
    """``Ti/meam`` → ``Ti/meam[t=0]`` → ``Ti/meam[t=0,screen=0]``."""
    return f"{name[:-1]},{change}]" if name.endswith("]") else f"{name}[{change}]"


CHANGES = {"t": scale_angular, "delr": widen_cutoff, "screen": screen, "cwidth": scale_screening}
"""What can stand in the brackets of a name."""
