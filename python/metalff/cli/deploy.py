"""``metalff deploy FAMILY``."""

from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give, group
from metalff.cli.options import out_file
from metalff.errors import MetalffError

Out = out_file("The .mlff file to write.", "Cu.mlff")
Name = Annotated[str | None, typer.Option(help="Of the model; default: the stem of the file.")]
Licence = Annotated[str, typer.Option(help="Of the parameters, such as CC-BY-4.0.")]
Test = Annotated[str | None, typer.Option(help="Data whose errors go into the manifest, as in `metalff validate --data`.")]
Accept = Annotated[bool, typer.Option("--accept-errors", help="Deploy a model that has not learnt the forces of a group of its data, too.")]

PLAIN = {
    "mace": ("a MACE model (ScaleShiftMACE)", "Directory of 'metalff train mace', a .model file of mace, or an .mlff file to deploy anew."),
    "allegro": ("an Allegro model trained by MetalFF", "Directory of 'metalff train allegro', or an .mlff file to deploy anew."),
    "nequip": ("a NequIP model trained by MetalFF", "Directory of 'metalff train nequip', or an .mlff file to deploy anew."),
    "deepmd": (
        "a DeePMD model (descriptor se_e2_a)",
        "Directory of 'metalff train deepmd', a .pt, .pth, .dp or .yaml file of deepmd-kit, or an .mlff file to deploy anew.",
    ),
    "nep": ("a neuroevolution potential", "Directory of 'metalff train nep', or a nep.txt (NEP3, NEP4, NEP5; with ZBL or without)."),
    "poly": ("a linear polynomial", "Directory of 'metalff train poly'."),
}
"""Families whose command needs no more than a source: what is deployed, and from what."""

FORMERLY = {"--output": "--out"}
"""Earlier name of an option."""


def register(app: typer.Typer) -> None:
    deploy = group("Trained model → one .mlff file.")
    app.add_typer(deploy, name="deploy")
    for family, (title, given) in PLAIN.items():
        add(deploy, family, _command(family, given), f"Deploy {title}.", FORMERLY)
    add(deploy, "sevennet", sevennet, "Deploy a SevenNet model; 7net-0 and its like are universal and come with the environment.", FORMERLY)
    add(deploy, "mtp", mtp, "Deploy a moment tensor potential of MLIP-2 or MLIP-3; it runs natively.", FORMERLY)
    add(deploy, "pace", pace, "Deploy an atomic cluster expansion of pacemaker (ML-PACE); it runs natively.", FORMERLY)
    add(deploy, "torch", torch, "Deploy any PyTorch module that keeps the contract (docs/contract.md).", FORMERLY)
    add(deploy, "eam", eam, "Deploy an EAM potential: the oracle that tests every path to round-off.", FORMERLY)
    deploy.command(hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(chgnet)


def sevennet(
    source: Annotated[
        Path,
        typer.Argument(
            help="7net-0, 7net-mf-0 or 7net-l3i5, a checkpoint of sevenn, a directory of 'metalff train sevennet', or an .mlff file to deploy anew."
        ),
    ],
    out: Out,
    elements: Annotated[str | None, typer.Option(help="The only ones to keep, such as Cu,Ni; default: all.")] = None,
    modal: Annotated[str | None, typer.Option(help="Of a model of several kinds of data, such as R2SCAN; default: PBE.")] = None,
    name: Name = None,
    licence: Licence = "",
    test: Test = None,
    accept_errors: Accept = False,
) -> None:
    from metalff.deploy import sevennet

    chosen = elements.replace(",", " ").split() if elements else None
    _deploy(sevennet.deploy, source, out, name=name, licence=licence, test=test, accept_errors=accept_errors, modal=modal, elements=chosen)


def mtp(
    source: Annotated[Path, typer.Argument(help="A .mtp or .almtp file of MLIP.")],
    out: Out,
    elements: Annotated[str, typer.Option(help="Its species in their order, such as Al,Ni; the file does not name them.")],
    name: Name = None,
    licence: Licence = "",
    test: Test = None,
) -> None:
    from metalff.deploy import mtp

    _deploy(mtp.deploy, source, out, elements=elements.replace(",", " ").split(), name=name, licence=licence, test=test)


def pace(
    source: Annotated[Path, typer.Argument(help="A .yace file of pacemaker.")],
    out: Out,
    name: Name = None,
    licence: Licence = "",
    test: Test = None,
) -> None:
    from metalff.deploy import pace

    _deploy(pace.deploy, source, out, name=name, licence=licence, test=test)


def chgnet() -> None:
    """Says why CHGNet cannot be deployed."""
    raise MetalffError(
        "CHGNet cannot be deployed: its layers pass features of bonds and angles on, and a .mlff file those of atoms only; use the name "
        "chgnet (metalff validate chgnet --data …), or deploy sevennet 7net-0, which has the same training data"
    )


def torch(
    source: Annotated[
        str,
        typer.Argument(help="FILE.py:NAME, a class, a function that returns a module, or a module; or a directory of 'metalff train torch'."),
    ],
    out: Out,
    name: Name = None,
    licence: Licence = "",
    test: Test = None,
    accept_errors: Accept = False,
    weights: Annotated[Path | None, typer.Option(help="State dict: .safetensors, or .pt of tensors alone.")] = None,
    arguments: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE: an argument of NAME, such as channels=16.")] = None,
    python: Annotated[
        str | None,
        typer.Option(help="Python that has what the module imports: a path, or a family with an environment; default: MetalFF's own."),
    ] = None,
    citation: Annotated[str, typer.Option(help="What to cite for the model.")] = "",
) -> None:
    from metalff.cli.train import overrides
    from metalff.deploy import torch_module

    given = {"weights": weights, "arguments": overrides(arguments or []), "python": python, "citation": citation}
    _deploy(torch_module.deploy, source, out, name=name, licence=licence, test=test, accept_errors=accept_errors, **given)


def eam(
    source: Annotated[Path, typer.Argument(help="A setfl file (pair_style eam/alloy).")],
    out: Out,
    name: Name = None,
    licence: Licence = "",
) -> None:
    from metalff.deploy import eam

    _deploy(eam.deploy, source, out, name=name, licence=licence)


def _command(family: str, given: str):
    """The command of a plain family."""

    def command(
        source: Annotated[Path, typer.Argument(help=given)],
        out: Out,
        name: Name = None,
        licence: Licence = "",
        test: Test = None,
        accept_errors: Accept = False,
    ) -> None:
        from metalff.deploy import of_family

        _deploy(of_family(family), source, out, name=name, licence=licence, test=test, accept_errors=accept_errors)

    return command


def _deploy(deploy, source: Path | str, out: Path, **options) -> None:
    manifest = deploy(source, out, **options, say=lambda line: typer.echo(f"  {line}", err=True))
    size = out.stat().st_size / 1e6
    typer.echo(f"{out}: {manifest.family}, {' '.join(manifest.elements)}, {size:.1f} MB")
    if test := options.get("test"):
        from metalff.validate.groups import in_words, lines, parts_of

        errors = manifest.training.errors
        typer.echo("\n".join([f"errors on {test}: {in_words(errors[test])}", *lines(parts_of(test, errors))]))
    typer.echo(f"next: metalff check {out}")
    give({"file": out, "bytes": out.stat().st_size} | manifest.model_dump(mode="json", by_alias=True))
