"""``metalff deploy FAMILY``."""

import importlib
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from metalff.errors import MetalffError

Output = Annotated[Path, typer.Option("--output", "-o", help="the .mlff file to write")]
Name = Annotated[str | None, typer.Option(help="name of the model; the file's stem by default")]
Licence = Annotated[str, typer.Option(help="licence of the parameters, e.g. CC-BY-4.0")]
Test = Annotated[str | None, typer.Option(help="data set whose errors go into the manifest")]
Accept = Annotated[bool, typer.Option("--accept-errors", help="deploy a model that has not learnt the forces of a group of its data, too")]

PLAIN = {
    "mace": ("a MACE model (ScaleShiftMACE)", "directory of 'metalff train mace', a .model file of mace, or an .mlff file to deploy anew"),
    "allegro": ("an Allegro model trained by MetalFF", "directory of 'metalff train allegro', or an .mlff file to deploy anew"),
    "nequip": ("a NequIP model trained by MetalFF", "directory of 'metalff train nequip', or an .mlff file to deploy anew"),
    "deepmd": (
        "a DeePMD model (descriptor se_e2_a)",
        "directory of 'metalff train deepmd', a .pt, .pth, .dp or .yaml file of deepmd-kit, or an .mlff file to deploy anew",
    ),
    "nep": ("a neuroevolution potential", "directory of 'metalff train nep', or a nep.txt (NEP3, NEP4, NEP5; with ZBL or without)"),
}
"""Families whose command needs no more than a source: what is deployed, and from what."""

SHARED = ("allegro", "nequip")
"""Families of ``metalff.deploy.nequip``, which is told which; the others have a module of their own."""


def register(app: typer.Typer) -> None:
    deploy = typer.Typer(help="Trained model → one .mlff file.", no_args_is_help=True)
    app.add_typer(deploy, name="deploy")

    @deploy.callback()
    def families() -> None:
        """Trained model → one .mlff file."""

    for family, (title, given) in PLAIN.items():
        deploy.command(family, help=f"Deploy {title}.")(_command(family, given))

    @deploy.command()
    def sevennet(
        source: Annotated[
            Path,
            typer.Argument(
                help="7net-0, 7net-mf-0 or 7net-l3i5, a checkpoint of sevenn, a directory of 'metalff train sevennet', or an .mlff file to "
                "deploy anew"
            ),
        ],
        output: Output,
        elements: Annotated[str | None, typer.Option(help="the only ones to keep, such as Cu,Ni; default: all")] = None,
        modal: Annotated[
            str | None, typer.Option(help="of a model of several kinds of data, such as R2SCAN; default: PBE")
        ] = None,
        name: Name = None,
        licence: Licence = "",
        test: Test = None,
        accept_errors: Accept = False,
    ) -> None:
        """Deploy a SevenNet model; 7net-0 and its like are universal and come with the environment."""
        from metalff.deploy import sevennet

        chosen = elements.replace(",", " ").split() if elements else None
        _deploy(sevennet.deploy, source, output, name=name, licence=licence, test=test, accept_errors=accept_errors, modal=modal, elements=chosen)

    @deploy.command(hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
    def chgnet() -> None:
        """Says why CHGNet cannot be deployed."""
        raise MetalffError(
            "CHGNet cannot be deployed: its layers pass features of bonds and angles on, and a .mlff file those of atoms only; use the name "
            "chgnet (metalff validate chgnet --data …), or deploy sevennet 7net-0, which has the same training data"
        )

    @deploy.command()
    def torch(
        source: Annotated[
            str,
            typer.Argument(
                help="FILE.py:NAME, a class, a function that returns a module, or a module; or a directory of 'metalff train torch'"
            ),
        ],
        output: Output,
        name: Name = None,
        licence: Licence = "",
        test: Test = None,
        accept_errors: Accept = False,
        weights: Annotated[Path | None, typer.Option(help="state dict: .safetensors, or .pt of tensors alone")] = None,
        arguments: Annotated[
            list[str] | None, typer.Option("--set", help="KEY=VALUE: an argument of NAME, such as channels=16")
        ] = None,
        python: Annotated[
            str | None,
            typer.Option(
                help="Python that has what the module imports: a path, or a family with an environment; default: MetalFF's own"
            ),
        ] = None,
        citation: Annotated[str, typer.Option(help="what to cite for the model")] = "",
    ) -> None:
        """Deploy any PyTorch module that keeps the contract (docs/contract.md)."""
        from metalff.cli.train import overrides
        from metalff.deploy import torch_module

        given = {"weights": weights, "arguments": overrides(arguments or []), "python": python, "citation": citation}
        _deploy(torch_module.deploy, source, output, name=name, licence=licence, test=test, accept_errors=accept_errors, **given)

    @deploy.command()
    def eam(
        source: Annotated[Path, typer.Argument(help="a setfl file (pair_style eam/alloy)")],
        output: Output,
        name: Name = None,
        licence: Licence = "",
    ) -> None:
        """Deploy an EAM potential: the oracle that tests every path to round-off."""
        from metalff.deploy import eam

        _deploy(eam.deploy, source, output, name=name, licence=licence)


def _command(family: str, given: str):
    """The command of a plain family."""

    def command(
        source: Annotated[Path, typer.Argument(help=given)],
        output: Output,
        name: Name = None,
        licence: Licence = "",
        test: Test = None,
        accept_errors: Accept = False,
    ) -> None:
        module = importlib.import_module(f"metalff.deploy.{'nequip' if family in SHARED else family}")
        deploy = partial(module.deploy, family) if family in SHARED else module.deploy
        _deploy(deploy, source, output, name=name, licence=licence, test=test, accept_errors=accept_errors)

    return command


def _deploy(deploy, source: Path | str, output: Path, **options) -> None:
    manifest = deploy(source, output, **options, say=lambda line: typer.echo(f"  {line}"))
    size = output.stat().st_size / 1e6
    typer.echo(f"{output}: {manifest.family}, {' '.join(manifest.elements)}, {size:.1f} MB")
    typer.echo(f"next: metalff check {output}")
