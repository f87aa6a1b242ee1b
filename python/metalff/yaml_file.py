"""YAML from outside: read in bounded time and memory, every key once; and values as short words for sentences."""

from pathlib import Path

import yaml

from metalff.errors import MetalffError

LARGEST = 4 << 20
"""Bytes of a file of settings."""

PARTS = 200_000
"""Keys and values of such a file, each alias counted as what it stands for: a few lines of aliases of aliases expand without end."""

TABLE_LARGEST, TABLE_PARTS = 64 << 20, 8_000_000
"""The same of a file of parameters."""

DEPTH = 32
"""Lists and mappings within each other."""

SHOWN = 80
"""Characters of a value in a sentence."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice; plain YAML takes the last."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen and key.value != "<<":
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} is given twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _TableLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Many times faster where libyaml is there; a list as a key becomes a tuple."""

    def construct_mapping(self, node, deep=False):
        for key, _ in node.value:
            if isinstance(key, yaml.SequenceNode):
                key.tag = "!key"
        seen = [tuple(part.value for part in key.value) if isinstance(key, yaml.SequenceNode) else key.value for key, _ in node.value]
        if len(set(map(repr, seen))) < len(seen):
            raise yaml.constructor.ConstructorError(None, None, "a key is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


_TableLoader.add_constructor("!key", lambda loader, node: tuple(loader.construct_sequence(node, deep=True)))


def read_table(path, what: str) -> dict:
    """Keys and values of a YAML file of parameters, which may be as large as ``TABLE_LARGEST``; keys may be lists, which are tuples here.

    Args:
        what: what the file should be, for the sentence.

    Raises:
        MetalffError: it cannot be read, is no YAML, is too large or nested, gives a key twice, or holds something other than keys.
    """
    so = f"so it is not {what}"
    content = _content(path, TABLE_LARGEST, so, f", {so}", table=True)
    if not isinstance(content, dict):
        raise MetalffError(f"'{path}' is not {what}: it holds no keys with values")
    return content


def _content(path, largest: int, too_large: str, so: str = "", table: bool = False):
    """What a file of at most ``largest`` bytes holds; the other texts end its sentences."""
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(largest + 1)
    except OSError as error:
        raise MetalffError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > largest:
        raise MetalffError(f"{path} is larger than {largest >> 20} MB, {too_large}")
    try:
        return parse(data.decode("utf-8"), table=table)
    except ValueError as error:
        raise MetalffError(f"{path} is not YAML{so}: {error}") from None


def read_yaml(path) -> dict:
    """Keys and values of a YAML file.

    Raises:
        MetalffError: it cannot be read, is no YAML, is too large or nested, gives a key twice, or holds something other than keys.
    """
    content = _content(path, LARGEST, "so it is no file of settings; check the path")
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise MetalffError(f"{path} must hold keys and values such as element: Cu; see the example in the documentation of the command")
    return content


def parse(text: str, table: bool = False):
    """Python objects of a YAML text: settings, or a table of parameters.

    Raises:
        ValueError: it is none, or expands without end; a part of a sentence.
    """
    try:
        content = yaml.load(text, _TableLoader) if table else yaml.load(text, _Loader)  # both are safe
        _count(content, {}, DEPTH, TABLE_PARTS if table else PARTS)
    except yaml.YAMLError as error:
        raise ValueError(short(" ".join(str(error).split()), 3 * SHOWN)) from None
    except RecursionError:
        raise ValueError(f"lists and keys lie more than {DEPTH} deep") from None
    return content


def _count(value, known: dict[int, int], depth: int, most: int) -> int:
    """Parts of a value, aliases expanded; ``known`` are those of lists and mappings seen before, by identity."""
    if not isinstance(value, (dict, list, tuple, set)):
        return 1
    if depth == 0:
        raise ValueError(f"lists and keys lie more than {DEPTH} deep")
    if id(value) not in known:
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(part, known, depth - 1, most) for part in inner)
    if known[id(value)] > most:
        raise ValueError(f"it has more than {most:,} keys and values once its aliases are expanded")
    return known[id(value)]


def short(value, most: int = SHOWN) -> str:
    """A value as a word of a sentence, cut where it is long."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"
