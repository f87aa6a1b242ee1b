"""Hooks of mkdocs: the pages that are made of the code, and links to files that are not in the documentation."""

import re

from mkdocs.structure.files import File

OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)#\s]+)(?:#[^)]*)?\)")
"""A link to a file above docs/: to be found in the source, not on the site."""


def on_files(files, config):
    """The first page is the README; the reference of commands is that of the program itself."""
    with open(f"{config.config_file_path.rpartition('/')[0]}/README.md", encoding="utf-8") as stream:
        readme = stream.read()
    files.append(File.generated(config, "index.md", content=from_root(readme)))
    files.append(File.generated(config, "commands.md", content=commands()))
    return files


def on_page_markdown(markdown, **_):
    return OUTSIDE.sub(r"\1 (`\2` in the source)", markdown)


def from_root(readme: str) -> str:
    """Links of a page in the root as those of a page in docs/."""
    moved = re.sub(r"\]\(docs/", "](", readme)
    return re.sub(r"\]\((?!https?:|#|[\w-]+\.md[)#])([^)]+)\)", r"](../\1)", re.sub(r"\]\((ARCHITECTURE|CHANGELOG)\.md\)", r"](../\1.md)", moved))


def commands() -> str:
    """Every command with its arguments and options, read from the program."""
    import typer.main

    from metalff.cli import build_app

    lines = ["# Every command", "", "As the program itself describes them (`metalff COMMAND -h`).", ""]
    for path, command in walk(typer.main.get_command(build_app()), ()):
        lines += [f"## `metalff {' '.join(path)}`", "", plain(command.help or ""), ""]
        shown = [row for parameter in command.params if not getattr(parameter, "hidden", False) and (row := described(parameter))]
        if shown:
            lines += ["| | |", "|---|---|", *shown, ""]
    return "\n".join(lines)


def walk(command, path):
    """(words, command) of all commands that are not hidden, groups left out."""
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            if not inner.hidden:
                yield from walk(inner, (*path, name))
    else:
        yield path, command


def described(parameter) -> str:
    """A row of the table: the name as it is typed, and what it means."""
    help = plain(getattr(parameter, "help", "") or "")
    name = (
        ", ".join(f"`{word}`" for word in parameter.opts)
        if parameter.param_type_name == "option"
        else f"`{parameter.metavar or parameter.name.upper()}`"
    )
    default = parameter.default
    if isinstance(default, (int, float, str)) and not isinstance(default, bool) and default != "":
        help += f" Default: `{default}`."
    return f"| {name} | {help} |"


def plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("{", "&#123;")
