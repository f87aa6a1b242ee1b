"""``metalff predict``: how hard a new metal will be."""

from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give, whole
from metalff.cli.options import out_file
from metalff.errors import MetalffError, nearest


def register(app: typer.Typer) -> None:
    add(app, "predict", predict, "Forecast the force error of a metal from its Fermi surface.")


def predict(
    elements: Annotated[list[str], typer.Argument(help="Metals such as Hf.")],
    model: Annotated[str, typer.Option(help="Whose error: a model of the table, such as poly or nep.")] = "poly",
    errors: Annotated[Path | None, typer.Option(help="CSV with the errors of known metals (docs/study.md); default: those that are shipped.")] = None,
    indicators: Annotated[Path | None, typer.Option(help="fermi.csv of `metalff fermi`; default: those that are shipped.")] = None,
    magnetic: Annotated[
        bool, typer.Option("--magnetic", help="Also magnetic metals, with the Fermi surface of their state without magnetism.")
    ] = False,
    extrapolate: Annotated[bool, typer.Option("--extrapolate", help="Also metals whose indicators lie outside those of the known ones.")] = False,
    out: out_file("File to freeze the forecast in, to be tested later.", "forecast.json", Path | None) = None,
) -> None:
    """The forecast of the normalised force error with an interval, and how good such forecasts are for the metals that are known."""
    from rich.table import Table

    from metalff.data.metals import metal
    from metalff.study import fermi, forecast
    from metalff.study import indicators as known

    for symbol in elements:
        metal(symbol)
    if out and out.exists():
        raise MetalffError(f"{out} is there already, and a frozen forecast is not written over; choose another --out")
    values = known.shipped(magnetic)
    for symbol, own in (known.read(indicators, magnetic) if indicators else {}).items():
        values[symbol] = values.get(symbol, {}) | own
    rows = fermi.of_table(errors) if errors else fermi.shipped()
    models = list(dict.fromkeys(row.model for row in rows))
    if model not in models:
        raise MetalffError(f"--model {model}: the table of errors has none of it{nearest(model, models)}; give {' or '.join(models)}")
    learnt = {row.element: row.normalised for row in rows if row.model == model}
    fitted = forecast.fit(learnt, values)
    if blocked := [symbol for symbol in elements if symbol not in values and symbol in known.shipped(magnetic=True)]:
        raise MetalffError(f"{' '.join(blocked)}: magnetic; the shipped indicators are those of the state without magnetism: add --magnetic")
    found = [forecast.forecast(fitted, symbol, values.get(symbol, {})) for symbol in dict.fromkeys(elements)]
    if (far := [one for one in found if one.beyond]) and not extrapolate:
        words = "; ".join(f"{', '.join(one.beyond)} of {one.element}" for one in far)
        raise MetalffError(
            f"outside the range of the known metals ({' '.join(fitted.metals)}): {words}; a forecast would extrapolate: add --extrapolate"
        )
    what = fermi.WHAT if errors is None else f"force RMSE ÷ RMS force of {model}, as in {errors.name}"
    shown = Table(title=what)
    for heading in ("metal", "normalised error", "95 % interval", *(known.HEADINGS.get(name, name) for name in fitted.predictors), "extrapolated in"):
        shown.add_column(heading, justify="left" if heading == "metal" else "right")
    for one in found:
        numbers = [f"{one.values[name]:.3g}" for name in fitted.predictors]
        interval = f"{100 * one.low:.1f}–{100 * one.high:.1f} %"
        shown.add_row(one.element, f"{100 * one.normalised:.1f} %", interval, *numbers, ", ".join(one.beyond))
    whole(shown)
    typer.echo(forecast.quality(fitted))
    if out:
        words = {"model": model, "what": what, "errors": {name: round(value, 6) for name, value in learnt.items() if name in fitted.metals}}
        forecast.freeze(out, fitted, found, words | {"indicators": {s: {n: values[s][n] for n in fitted.predictors} for s in fitted.metals}})
        typer.echo(f"frozen: {out}")
    give({"what": what, "forecasts": found, "quality": forecast.quality(fitted), "skill": fitted.skill, "learnt_from": fitted.metals})
