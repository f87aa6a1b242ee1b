"""Take parameter files of EAM and MEAM potentials out of Debian's package openkim-models, and write the registry's entries for them.

    apt-get download openkim-models
    dpkg -x openkim-models_*.deb openkim
    python potentials/reference/extract.py openkim

The models of OpenKIM carry their parameter files as byte arrays in a shared library: symbols NAME and NAME_len. Files are written beside this script
as the models have them, and python/metalff/potentials/openkim.yaml with citation, DOI and hash of each. The package is under CDDL-1.0.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

import yaml

from metalff.data.metals import metal
from metalff.paths import SOURCE

VERSION = "2021.01.28"
LICENCE = "CDDL-1.0 (OpenKIM)"

EAM = {
    "Al/eam": "MishinFarkasMehl_1999_Al",
    "Ag/eam": "WilliamsMishinHamilton_2006_Ag",
    "Au/eam": "GrocholaRusso_2005_Au",
    "Ni/eam": "MishinFarkasMehl_1999_Ni",
    "Pd/eam": "ZhouJohnsonWadley_2004NISTretabulation_Pd",
    "Pt/eam": "ZhouJohnsonWadley_2004NISTretabulation_Pt",
    "Pb/eam": "ZhouJohnsonWadley_2004NISTretabulation_Pb",
    "Mo/eam": "ZhouJohnsonWadley_2004NISTretabulation_Mo",
    "Ti/eam": "ZhouJohnsonWadley_2004NISTretabulation_Ti",
    "Ti/eam-ackland": "Ackland_1992_Ti",
    "Co/eam": "PunMishin_2012_Co",
    "Cr/eam": "BonnyCastinTerentyev_2013_FeNiCr",
    "W/eam": "HanZepedaAckland_2003_W",
    "Ta/eam": "RaveloGermannGuerrero_2013Ta1_Ta",
    "Nb/eam": "FellingerParkWilkins_2010_Nb",
    "V/eam": "HanZepedaAckland_2003_V",
    "Na/eam": "NicholAckland_2016_Na",
    "Rb/eam": "NicholAckland_2016v2_Rb",
    "Cs/eam": "NicholAckland_2016v2_Cs",
    "Ru/eam": "FortiniMendelevBuldyrev_2008_Ru",
    "Re/eam": "BonnyBakaevTerentyev_2017_WRe",
}
"""Name in the registry → model of driver EAM_Dynamo."""

MEAM = {
    "Al/meam": "KimKimLee_2009_AlMg",
    "Mg/meam": "KimKimLee_2009_AlMg",
    "Ag/meam": "KangSaLee_2009_ZrAgCu",
    "Ni/meam": "LeeShim_2004_NiCu",
    "Cu/meam-lee": "LeeShim_2004_NiCu",
    "Pd/meam": "KoLee_2013_VPdY",
    "Y/meam": "KoLee_2013_VPdY",
    "V/meam": "KoLee_2013_VPdY",
    "Pt/meam": "KimSeolJi_2017_PtNi",
    "Pb/meam": "EtesamiBaskesLaradji_2018_PbSn",
    "Sn/meam": "EtesamiBaskesLaradji_2018_PbSn",
    "Mo/meam": "JeongParkDo_2018_PdMo",
    "Ti/meam": "KimKimJung_2016_AlTi",
    "Zr/meam": "LeeLee_2014_ZrH",
    "Co/meam": "ChoiKimSeol_2017_CoCr",
    "Cr/meam": "ChoiKimSeol_2017_CoCr",
    "W/meam": "ShimParkCho_2003_NiW",
    "Ta/meam": "GaoOteroAouadi_2013_AgTaO",
    "Nb/meam": "KimJungLee_2010_FeNbC",
    "Fe/meam": "KimJungLee_2010_FeNbC",
    "Na/meam": "KimKoLee_2020_Na",
    "Li/meam": "KimJungLee_2012_LiMg",
    "Ca/meam": "JangSeolLee_2019_CaZnMg",
    "Zn/meam": "JangSeolLee_2019_CaZnMg",
    "Mn/meam": "KimShinLee_2009_FeMn",
    "In/meam": "DoShinLee_2009_GaInN",
    "Ga/meam": "DoShinLee_2009_GaInN",
}
"""Name in the registry → model of driver MEAM_LAMMPS."""


ORDER = {"KimJungLee_2010_FeNbC": ["Nb", "Fe", "C"], "KimSeolJi_2017_PtNi": ["Ni", "Pt"]}
"""Elements in the order in which the .meam file numbers them (by its Ec and re), where the model's list has another."""


def sections(data: bytes):
    """(address, offset, size) of the sections of a 64-bit little-endian ELF file that hold data, and its dynamic symbols (name, address, size)."""
    assert data[:6] == b"\x7fELF\x02\x01", "not a 64-bit little-endian ELF file"
    number = lambda at, size: int.from_bytes(data[at : at + size], "little")  # noqa: E731
    start, size, count = number(40, 8), number(58, 2), number(60, 2)
    headers = [start + k * size for k in range(count)]
    kinds = [number(h + 4, 4) for h in headers]
    held = [(number(h + 16, 8), number(h + 24, 8), number(h + 32, 8)) for h, kind in zip(headers, kinds) if kind == 1]
    table = headers[kinds.index(11)]
    names = number(headers[number(table + 40, 4)] + 24, 8)
    symbols = []
    for at in range(number(table + 24, 8), number(table + 24, 8) + number(table + 32, 8), 24):
        first = names + number(at, 4)
        symbols.append((data[first : data.index(b"\0", first)].decode(), number(at + 8, 8), number(at + 16, 8)))
    return held, symbols


def members(library: Path) -> dict[str, bytes]:
    """The files inside a model's shared library, by the names of their symbols."""
    data = library.read_bytes()
    held, symbols = sections(data)
    lengths = {name for name, _, _ in symbols if name.endswith("_len")}
    found = {}
    for name, address, size in symbols:
        if f"{name}_len" in lengths:
            start, offset, _ = next(s for s in held if s[0] <= address < s[0] + s[2])
            found[name] = data[offset + address - start : offset + address - start + size]
    return found


def specification(text: str) -> dict:
    """kimspec.edn: maps, vectors and strings, which are JSON but for colons and commas."""
    text = re.sub(r'("(?:[^"\\]|\\.)*")(\s+)(?=["\[{])', r"\1 , ", text)
    tokens = iter(re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text))

    def value(token):
        if token == "{":
            found = {}
            while (key := next(tokens)) != "}":
                found[json.loads(key)] = value(next(tokens))
            return found
        if token == "[":
            found = []
            while (item := next(tokens)) != "]":
                found.append(value(item))
            return found
        return json.loads(token)

    return value(next(tokens))


def citation(spec: dict) -> tuple[str, str]:
    """The paper of the potential, and its DOI."""
    source = next((s for s in spec["source-citations"] if "recordprimary" in s), spec["source-citations"][0])
    authors = [" ".join(reversed(name.split(", "))) for name in source["author"].split(" and ")]
    authors = ", ".join(authors) if len(authors) < 6 else f"{authors[0]} et al."
    paper = f"{authors}, {source['journal']} {source['volume']}, {source.get('pages', '')} ({source['year']})"
    paper = re.sub(r"[{}]", "", paper).replace("--", "–").replace(" - ", "–").replace(", (", " (")
    return " ".join(paper.split()), source.get("doi", "")


def setfl(text: str, element: str) -> tuple[float, list[str]]:
    """Cutoff (Å) and elements of a setfl file (eam/alloy or eam/fs)."""
    lines = text.splitlines()
    elements = lines[3].split()[1:]
    assert element in elements
    return float(lines[4].split()[4]), elements


def write(folder: Path, name: str, content: bytes) -> dict:
    (folder / name).write_bytes(content)
    return {name: hashlib.sha256(content).hexdigest()}


def eam(models: Path, folder: Path, name: str, model: str) -> dict:
    path, found, spec = opened(models, f"EAM_Dynamo_{model}__MO")
    element = name.partition("/")[0]
    (symbol, content), *more = [(k, v) for k, v in found.items() if k.endswith(("_eam_alloy", "_eam_fs"))]
    assert not more
    style = "eam/fs" if symbol.endswith("_fs") else "eam/alloy"
    cutoff, _ = setfl(content.decode(), element)
    files = write(folder, symbol.removesuffix("_eam_alloy").removesuffix("_eam_fs") + style.replace("eam/", ".eam."), content)
    return entry(path, spec, element, model, "eam", style, ["* * {0} {elements}"], files, cutoff)


def meam(models: Path, folder: Path, name: str, model: str) -> dict:
    path, found, spec = opened(models, f"MEAM_LAMMPS_{model}__MO")
    element = name.partition("/")[0]
    order = [line for line in found["elems_meam"].decode().splitlines() if line.strip()][-1].split()
    order = ORDER.get(model, order)
    library = whole_numbers(next(v for k, v in found.items() if k.startswith("library")))
    parameters = next(v for k, v in found.items() if k.endswith("_meam") and not k.startswith(("library", "elems")))
    stem = model.rpartition("_")[0] + "-" + model.rpartition("_")[2]
    files = write(folder, f"{stem}.library.meam", library) | write(folder, f"{stem}.meam", parameters)
    cutoff = float(re.search(r"^\s*rc\s*=\s*([0-9.]+)", parameters.decode(), re.M)[1])
    return entry(path, spec, element, model, "meam", "meam", [f"* * {{0}} {' '.join(order)} {{1}} {{elements}}"], files, cutoff)


def whole_numbers(library: bytes) -> bytes:
    """The library with ibar, the last number of an entry, as LAMMPS reads it: -5 for -5.0."""
    return re.sub(rb"(?m)^(\s*[0-9.]+(?:\s+\S+){4}\s+-?\d+)\.0*(?=\s*$)", rb"\1", library)


def opened(models: Path, prefix: str):
    (path,) = models.glob(f"{prefix}*")
    found = members(path / "libkim-api-portable-model.so")
    return path, found, specification(found["kimspec_edn"].decode())


def entry(path: Path, spec, element: str, model: str, kind: str, style: str, coeff, files, cutoff: float) -> dict:
    paper, doi = citation(spec)
    authors = re.match(r"[A-Za-z]+?(?=[A-Z]|$|_)|[A-Z][a-z]+", model)[0]
    year = re.search(r"_(\d{4})", model)[1]
    return {
        "label": f"{kind.upper()} ({authors} {year})",
        "kind": kind,
        "elements": [element],
        "pair_style": style,
        "pair_coeff": coeff,
        "files": files,
        "cutoff": cutoff,
        "crystal": metal(element).crystal,
        "citation": paper,
        "doi": doi,
        "origin": f"OpenKIM {path.name.rpartition('__')[2]}, Debian openkim-models {VERSION}",
        "licence": LICENCE,
    }


def main() -> None:
    models = Path(sys.argv[1]) / "usr/lib/x86_64-linux-gnu/kim-api/portable-models"
    folder = Path(__file__).parent
    entries = {name: eam(models, folder, name, model) for name, model in EAM.items()}
    entries |= {name: meam(models, folder, name, model) for name, model in MEAM.items()}
    text = "# Written by potentials/reference/extract.py; files lie in potentials/reference.\n\n"
    text += yaml.safe_dump(dict(sorted(entries.items())), sort_keys=False, width=160, allow_unicode=True)
    (SOURCE / "python/metalff/potentials/openkim.yaml").write_text(text, "utf-8")
    print(f"{len(entries)} potentials, {sum(f.stat().st_size for f in folder.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
