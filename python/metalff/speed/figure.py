"""Table and plot of measured cases."""

from collections import defaultdict

COLOURS = {
    "native": "#2f80ed",
    "torch": "#8b949e",
    "MACECalculator": "#d08a2e",
    "symmetrix-xl": "#9b6dd6",
    "NEP_CPU": "#c2527a",
}
"""By engine."""


def rows(results: dict) -> list[list[str]]:
    """Model, engine, precision, atoms, ranks, µs/atom, ratio, MB and % outside the model.

    The ratio is the speed in relation to the slowest case of the same model, precision, size and ranks.
    """
    groups = defaultdict(list)
    for entry in results.values():
        groups[entry["model"], entry["precision"], entry["atoms"], entry["ranks"], entry["weak"]].append(entry)
    table = []
    for group in groups.values():
        slowest = max(entry["µs/atom"] for entry in group)
        for entry in group:
            table.append(
                [
                    entry["model"],
                    entry["engine"],
                    entry["precision"],
                    str(entry["atoms"]),
                    f"{entry['ranks']}{' (weak)' if entry['weak'] else ''}",
                    f"{entry['µs/atom']:.1f}",
                    f"{slowest / entry['µs/atom']:.1f}×" if len(group) > 1 else "",
                    f"{entry['MB']:.0f}" if "MB" in entry else "",
                    f"{entry['outside %']:.1f}" if "outside %" in entry else "",
                ]
            )
    return table


HEAD = ["model", "engine", "precision", "atoms", "ranks", "µs/atom", "speed", "MB", "outside %"]


def markdown(table: list[list[str]], head: list[str] = HEAD, words: int = 3) -> str:
    """The rows as a table in Markdown; columns after the first ``words`` are numbers."""
    lines = [head, ["---"] * words + ["---:"] * (len(head) - words), *table]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def plot(results: dict, path, machine: str) -> None:
    """Time per atom against atoms on one rank; speed-up against ranks, of a fixed crystal and of one that grows with the ranks."""
    from matplotlib import pyplot as plt

    entries = list(results.values())
    scaling = any(entry["ranks"] > 1 for entry in entries)
    figure, axes = plt.subplots(1, 2 if scaling else 1, figsize=(11 if scaling else 6, 6), squeeze=False, layout="constrained")
    left = axes[0, 0]
    models = list(dict.fromkeys(entry["model"] for entry in entries))
    markers = "osD^vPX*"
    curves = defaultdict(list)
    for entry in entries:
        if entry["ranks"] == 1:
            curves[entry["model"], entry["engine"], entry["precision"]].append((entry["atoms"], entry["µs/atom"]))
    for (model, engine, precision), points in curves.items():
        left.plot(
            *zip(*sorted(points)),
            color=COLOURS.get(engine, "#333333"),
            marker=markers[models.index(model) % len(markers)],
            linestyle="-" if precision == "double" else "--",
            label=f"{model}, {engine}, {precision}",
        )
    left.set(xscale="log", yscale="log", xlabel="atoms", ylabel="µs per atom and step, one core")
    left.xaxis.set_major_formatter("{x:.0f}")
    left.yaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_formatter("")
    left.grid(alpha=0.3, which="both")
    left.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    if scaling:
        right = axes[0, 1]
        most = max(entry["ranks"] for entry in entries)
        right.plot([1, most], [1, most], color="#bbbbbb", linewidth=1, label="ideal")
        one = {(e["name"], e["atoms"]): e["µs/atom"] for e in entries if e["ranks"] == 1}
        lines = defaultdict(lambda: [(1, 1.0)])
        for e in entries:
            if e["ranks"] > 1:
                base = one.get((e["name"], e["atoms"] // e["ranks"] if e["weak"] else e["atoms"]))
                if base:
                    lines[e["name"], e["weak"], e["engine"], e["precision"]].append((e["ranks"], base / e["µs/atom"]))
        for (name, weak, engine, precision), points in lines.items():
            right.plot(
                *zip(*sorted(points)),
                color=COLOURS.get(engine, "#333333"),
                marker="s" if weak else "o",
                fillstyle="none" if weak else "full",
                linestyle="-" if precision == "double" else "--",
                label=f"{name}, {'atoms grow with ranks' if weak else 'same atoms'}",
            )
        right.set(xlabel="MPI ranks", ylabel="speed relative to one rank")
        right.xaxis.get_major_locator().set_params(integer=True)
        right.grid(alpha=0.3)
        right.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    figure.suptitle(machine, fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)
