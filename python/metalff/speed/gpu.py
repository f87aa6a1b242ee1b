"""What a check on a GPU found (``run.sh`` of ``make gpu-bundle``, docs/gpu.md) as table and figure."""

import json
from collections import defaultdict
from pathlib import Path

from metalff.errors import MetalffError
from metalff.speed.figure import markdown

SCHEMA = 1
HEAD = ["card", "model", "precision", "atoms", "ns/atom/step", "atom-steps/s"]
COLOURS = ("#2f80ed", "#d08a2e", "#9b6dd6", "#c2527a", "#3b9e5f", "#8b949e")


def read(path: Path) -> dict:
    """A file of results.

    Raises:
        MetalffError: it is none, or of another schema.
    """
    try:
        document = json.loads(Path(path).read_text())
    except OSError as error:
        raise MetalffError(f"'{path}' cannot be read ({error.strerror}): give results.json of a GPU bundle") from None
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("parts"), dict):
        raise MetalffError(f"'{path}' is not a file of results: give results.json that run.sh of a GPU bundle wrote")
    if document.get("schema") != SCHEMA:
        raise MetalffError(f"'{path}' has schema {document.get('schema')}, this MetalFF reads {SCHEMA}: run the bundle of this version")
    return document


def card(document: dict) -> str:
    """The name of the card; without one, of the processor, and what LAMMPS ran on."""
    facts = (document["parts"].get("facts") or [{}])[0]
    return facts.get("card") or f"{facts.get('processor') or 'unknown processor'}, {document.get('flags', '')}"


def timed(document: dict) -> list[dict]:
    """Rows of the part ``speed`` that were measured."""
    return [row for row in document["parts"].get("speed", []) if "ns/atom/step" in row]


def verdicts(document: dict) -> list[str]:
    """Of each part, in words: how many rows were fine, failed or were left out."""
    lines = []
    for name, found in document["parts"].items():
        failed = sum("failure" in row for row in found)
        skipped = sum("skipped" in row and "failure" not in row for row in found)
        fine = len(found) - failed - skipped
        lines.append(f"{name}: {fine} fine, {failed} failed, {skipped} left out")
    return lines


def rows(documents: list[dict]) -> list[list[str]]:
    """Card, model, precision, atoms, ns per atom and step, and atom-steps per second."""
    return [
        [
            card(document),
            row["model"],
            row["precision"],
            str(row["atoms"]),
            f"{row['ns/atom/step']:.1f}",
            f"{row['atom-steps/s']:.3g}",
        ]
        for document in documents
        for row in sorted(timed(document), key=lambda row: (row["model"], row["precision"], row["atoms"]))
    ]


def text(documents: list[dict]) -> str:
    """The table, the longest kernels of each model, and what failed, in Markdown."""
    parts = [markdown(rows(documents), HEAD, words=3)]
    for document in documents:
        parts.append(f"\n{card(document)}: {'; '.join(verdicts(document))}.\n")
        for entry in document["parts"].get("kernels", []):
            if "kernels" in entry:
                parts.append(
                    f"\n{entry['model']}, {entry['precision']}, {entry['atoms']} atoms: {entry['ns/atom/step']:.1f} ns/atom/step in kernels\n\n"
                )
                kernels = [[k["kernel"], f"{k['%']:.1f}", f"{k['ns/atom/step']:.2f}"] for k in entry["kernels"][:12]]
                parts.append(markdown(kernels, ["kernel", "%", "ns/atom/step"], words=1))
    return "".join(parts)


def plot(documents: list[dict], path) -> None:
    """Time per atom and step against atoms: a colour for a model, dashed in single precision, a marker for a card."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 6), layout="constrained")
    models = sorted({row["model"] for document in documents for row in timed(document)})
    cards = list(dict.fromkeys(map(card, documents)))
    for document in documents:
        curves = defaultdict(list)
        for row in timed(document):
            curves[row["model"], row["precision"]].append((row["atoms"], row["ns/atom/step"]))
        for (model, precision), points in sorted(curves.items()):
            label = f"{model}, {precision}"
            axes.plot(
                *zip(*sorted(points)),
                color=COLOURS[models.index(model) % len(COLOURS)],
                linestyle="-" if precision == "double" else "--",
                marker="os^vDPX*"[cards.index(card(document)) % 8],
                label=label if len(cards) == 1 else f"{label}, {card(document)}",
            )
    axes.set(xscale="log", yscale="log", xlabel="atoms", ylabel="ns per atom and step")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter("")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    figure.suptitle("\n".join(cards), fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)
