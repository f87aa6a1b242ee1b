"""What fills an environment with packages: uv where MetalFF's own Python has it, which takes seconds for torch, else pip.

``python -I installer.py PYTHON REQUIREMENT…`` does so from a checkout, with what pip and uv both know (``-C``, ``--no-build-isolation``);
the standard library is all it needs.
"""

import ast
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

LISTS = {"extra-index-url": "--index", "find-links": "--find-links", "constraint": "--constraints", "trusted-host": "--allow-insecure-host"}
"""Settings of pip that are lists of words, and what uv calls each of them."""

INDIFFERENT = {
    "cache-dir", "cert", "default-timeout", "disable-pip-version-check", "no-color", "no-input", "no-python-version-warning",
    "progress-bar", "quiet", "retries", "root-user-action", "timeout", "verbose", "no-warn-script-location", "break-system-packages",
    "require-virtualenv",
}  # fmt: skip
"""Settings of pip that change nothing about what is installed into a virtual environment."""


def uv() -> Path | None:
    """The program beside this Python, if it is there; another one is not looked for."""
    path = Path(sysconfig.get_path("scripts")) / "uv"
    return path if path.exists() else None


def own_variables() -> dict[str, str]:
    """Of a process that installs: those of the calling Python would let its packages leak into the environment."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_USER")}


def pip_settings() -> dict[str, str]:
    """What pip would take from its files and variables: option → value as text."""
    command = [sys.executable, "-I", "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, env=own_variables()).stdout
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}  # the later, the stronger
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.partition(".")
        if section in found:
            found[section][option] = str(ast.literal_eval(value))
    return found["global"] | found["install"] | found[":env:"]


def uv_command(python: Path, settings: dict[str, str]) -> list[str] | None:
    """``uv pip install`` for that Python, from the places that pip would look at; None without uv, or where it cannot do as pip is told."""
    program = uv()
    if not program:
        return None
    # as pip: bytecode, for where nothing may be written later torch would be compiled anew in every process, in a quarter of a minute;
    # and the best version anywhere, not that of the first index that has one
    command = [str(program), "pip", "install", "--compile-bytecode", "--python", str(python), "--index-strategy", "unsafe-best-match"]
    for option, value in settings.items():
        if option == "index-url":
            command += ["--default-index", value]
        elif option == "no-index":
            command += ["--no-index"] * (value.lower() in ("1", "true", "yes", "on"))
        elif option in LISTS:
            command += [word for one in value.split() for word in (LISTS[option], one)]
        elif option not in INDIFFERENT:
            return None
    return command


def main(python: str, *requirements: str) -> int:
    """uv; pip where that fails, so that the reason is told in its words."""
    quick = uv_command(Path(python), pip_settings())
    if quick and subprocess.run([*quick, "--quiet", *requirements], env=own_variables()).returncode == 0:
        return 0
    slow = [python, "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    return subprocess.run([*slow, *requirements], env=own_variables()).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
