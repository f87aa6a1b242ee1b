"""neigh_modify exclude: an atom that is parted from all others contributes nothing, as if it were deleted; other exclusions only take pairs away."""

import re

import numpy as np
import pytest

from inputs import crystal, ends, execute, same
from metalff.paths import shared

AWAY = (14, 15, 50)  # neighbours among them
WAYS = {  # ranks, keywords
    "1 rank": (1, ""),
    "2 ranks": (2, ""),
    "2 ranks wide": (2, "ghosts wide"),
    "4 ranks": (4, ""),
}
EXCLUSIONS = {
    "from all": ["neigh_modify exclude group away all"],
    "all from it": ["neigh_modify exclude group all away"],
    "from itself and the others": ["group rest subtract all away", "neigh_modify exclude group away away exclude group away rest"],
    "by its type": ["set group away type 2", "neigh_modify exclude type 2 2 exclude type 1 2"],
}
PER_ATOM = ["compute ea all pe/atom", "compute st all stress/atom NULL pair", "compute cv all centroid/stress/atom NULL pair"]
PER_ATOM += ["compute sum all reduce sum c_ea c_st[*] c_cv[*]", "thermo_style custom step pe press c_sum[*]"]
COLUMNS = "id x y z fx fy fz c_ea c_st[*] c_cv[*]"


def model(name):
    return shared("potentials", "mlff", f"{name}.mlff")


def told(name, columns=COLUMNS):
    lines = [f'print "{name} $(pe:%.17g) $(pxx:%.17g) $(pyy:%.17g) $(pzz:%.17g) $(pyz:%.17g) $(pxz:%.17g) $(pxy:%.17g)"']
    return [*lines, f"write_dump all custom {name} {columns} modify sort id format float %.17g"]


def state(directory, completed, name):
    """Energy and pressures; what every atom has, by its number."""
    assert completed.returncode == 0, completed.stdout[-3000:] + completed.stderr[-2000:]
    (numbers,) = [line.split()[1:] for line in completed.stdout.splitlines() if line.split()[:1] == [name]]
    table = np.loadtxt(directory / name, skiprows=9, ndmin=2)
    return np.array(numbers, float), {int(row[0]): row[1:] for row in table}


def excluded_and_deleted(directory, pair, exclusion, ranks=1, box=None, measured=PER_ATOM, columns=COLUMNS, away=AWAY):
    lines = [*(box or crystal(types=2, share=0)), *pair, "mass * 63.546", "group away id " + " ".join(map(str, away)), *measured]
    lines += ["run 0", *told("WHOLE", columns), *exclusion, "run 0", *told("EXCLUDED", columns)]
    lines += ["neigh_modify exclude none", "delete_atoms group away compress no", "run 0", *told("DELETED", columns)]
    completed = execute(directory, lines, ranks)
    return [state(directory, completed, name) for name in ("WHOLE", "EXCLUDED", "DELETED")]


def contributes_nothing(whole, excluded, deleted, away=AWAY):
    assert abs(whole[0][0] - deleted[0][0]) > 1, "an atom has an energy"
    np.testing.assert_allclose(excluded[0], deleted[0], rtol=0, atol=1e-6 * np.abs(deleted[0]).max())
    assert excluded[0][0] == pytest.approx(deleted[0][0], abs=1e-8)
    assert set(excluded[1]) - set(deleted[1]) == set(away)
    for atom, numbers in deleted[1].items():
        np.testing.assert_allclose(excluded[1][atom][:7], numbers[:7], rtol=0, atol=1e-8)
        np.testing.assert_allclose(excluded[1][atom][7:], numbers[7:], rtol=0, atol=1e-6 * np.abs(numbers[7:]).max(initial=1))
    for atom in away:
        assert not excluded[1][atom][3:].any()


MODELS = {  # file or fixture, keywords
    "NEP": ("Cu-nep", ""),
    "MACE": ("two_layer_mace", "engine native"),
    "MACE, torch": ("two_layer_mace", "engine torch"),
    "EAM": ("oracle", ""),
}


@pytest.fixture
def path(name, request):
    """A single atom has an energy in all of these models but EAM."""
    file, _ = MODELS[name]
    return model(file) if file.startswith("Cu") else request.getfixturevalue(file)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_an_atom_excluded_from_all_is_as_deleted(name, way, path, tmp_path):
    """Energy, stress, forces, and what is shared among atoms."""
    ranks, keywords = WAYS[way]
    pair = [f"pair_style mlff {keywords} {MODELS[name][1]}", f"pair_coeff * * {path} Cu Cu"]
    contributes_nothing(*excluded_and_deleted(tmp_path, pair, EXCLUSIONS["from all"], ranks))


@pytest.mark.parametrize("exclusion", EXCLUSIONS)
@pytest.mark.parametrize("name", ["NEP", "MACE"])
def test_ways_to_exclude_from_all(name, exclusion, path, tmp_path):
    """Without per-atom stress, where a strictly local model walks along LAMMPS' list."""
    pair = ["pair_style mlff", f"pair_coeff * * {path} Cu Cu"]
    measured, columns = [*PER_ATOM[:1], "compute sum all reduce sum c_ea", "thermo_style custom step pe press c_sum"], "id x y z fx fy fz c_ea"
    for ranks in (1, 2):
        contributes_nothing(*excluded_and_deleted(tmp_path, pair, EXCLUSIONS[exclusion], ranks, measured=measured, columns=columns))


@pytest.mark.parametrize("ranks", [1, 2])
def test_ensembles_lack_it_too(ranks, tmp_path):
    """Forces that are the mean, and how far the members lie apart."""
    pair = ["pair_style mlff ensemble mean deviation 1 dev.txt", f"pair_coeff * * {model('Cu-mace')} {model('Cu-nep')} Cu Cu"]
    contributes_nothing(*excluded_and_deleted(tmp_path, pair, EXCLUSIONS["from all"], ranks))
    records = []
    for gone in (EXCLUSIONS["from all"], ["delete_atoms group away compress no"]):
        lines = [*crystal(types=2, share=0), *pair, "mass * 63.546", "group away id " + " ".join(map(str, AWAY)), *gone, "run 0"]
        assert execute(tmp_path, lines, ranks).returncode == 0
        records.append(np.loadtxt(tmp_path / "dev.txt"))
    assert records[0][2] > 1e-3, "least over the atoms that count"
    np.testing.assert_allclose(records[0], records[1], rtol=1e-8)


@pytest.mark.parametrize("ranks", [1, 2])
def test_an_empty_model(ranks, tmp_path):
    """All atoms excluded: zeros, not an error."""
    pair = ["pair_style mlff", f"pair_coeff * * {model('Cu-nep')} Cu Cu", "neigh_modify exclude group all all"]
    completed = execute(tmp_path, [*crystal(types=2, share=0), *pair, "mass * 63.546", *PER_ATOM, "run 0", *told("NONE")], ranks)
    numbers, atoms = state(tmp_path, completed, "NONE")
    assert not numbers.any() and len(atoms) == 108 and not any(row[3:].any() for row in atoms.values())


FAR = ["units metal", "region b block 0 40 0 40 0 40", "create_box 2 b", "create_atoms 1 single 5 5 5", "create_atoms 1 single 25 25 25"]


@pytest.mark.parametrize("name", ["NEP", "MACE", "MACE, torch"])
def test_a_free_atom_keeps_its_energy(name, path, tmp_path):
    """No neighbour is not the same as no partner: of two far atoms one is excluded, and the energy halves."""
    pair = [f"pair_style mlff {MODELS[name][1]}", f"pair_coeff * * {path} Cu Cu", "mass * 63.546"]
    lines = [
        *FAR,
        *pair,
        "group away id 2",
        "run 0",
        'print "E $(pe:%.17g)"',
        "neigh_modify exclude group away all",
        "run 0",
        'print "E $(pe:%.17g)"',
    ]
    lines += ["neigh_modify exclude none exclude type 1 1", "run 0", 'print "E $(pe:%.17g)"']  # they would see atoms of type 2
    completed = execute(tmp_path, lines)
    assert completed.returncode == 0, completed.stdout[-2000:]
    both, one, partners = [float(line.split()[1]) for line in completed.stdout.splitlines() if re.match(r"E -?\d", line)]
    assert abs(both) > 0.5 and one == pytest.approx(both / 2, abs=1e-9) and partners == pytest.approx(both, abs=1e-9)


PARTIAL = {
    "a type among itself": ["neigh_modify exclude type 2 2"],
    "two types": ["neigh_modify exclude type 1 2"],
    "two groups": ["group a id 1:40", "group b id 30:80", "neigh_modify exclude group a b"],
    "within molecules": ["neigh_modify exclude molecule/intra all"],
    "between molecules": ["neigh_modify exclude molecule/inter all"],
}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("exclusion", PARTIAL)
def test_partial_exclusions_take_pairs_away(exclusion, ranks, oracle, eam_commands, tmp_path):
    """As in eam/alloy, in a run."""
    box = [*crystal(types=2, style="bond", extra="extra/bond/per/atom 1"), "set atom 1*50 mol 1", "set atom 51*108 mol 2"]
    run = [*PARTIAL[exclusion], "velocity all create 300 11 loop geom", "fix move all nve", "run 10"]
    ours = ["pair_style mlff", f"pair_coeff * * {oracle} Cu Cu"]
    reference = ends(tmp_path / "eam", box, [eam_commands[0], f"{eam_commands[1]} Cu"], run, ranks)
    same(ends(tmp_path / "ours", box, ours, run, ranks), reference, atoms=108, moved=True)
    whole = ends(tmp_path / "whole", box, ours, run[len(PARTIAL[exclusion]) :], ranks)
    assert abs(whole.energy - reference.energy) > 0.1, "the exclusion must matter"
