"""Parts of a set by the words in brackets."""

import pytest

from metalff.data import join, load, read, write_extxyz
from metalff.errors import MetalffError


@pytest.mark.parametrize(
    "words, count",
    [
        ("temperature=300", 35),
        ("temperature=300K", 35),
        ("temperature=300|6000", 71),
        ("group=vacancy|surface", 30),
        ("group=aimd, temperature=3000", 37),
        ("element=Mo", 194),
        ("frames=0:10", 10),
        ("frames=::2", 97),
        ("frames=-5:", 5),
        ("frames=0:40,group=aimd", None),
    ],
)
def test_selected(words, count):
    whole, part = load("zuo2020-Mo", "train"), read(f"zuo2020-Mo:train[{words}]")
    if count is None:
        count = sum(frame.group == "aimd" for frame in whole.frames[:40])
        assert 0 < count < 40
    assert len(part) == count
    again = read(part.name.replace("][", ","))  # the name of a part is what one types
    assert again.sha256 == part.sha256


def test_of_a_file(tmp_path):
    write_extxyz(load("zuo2020-Mo", "test"), tmp_path / "mo.xyz")
    part = read(f"{tmp_path / 'mo.xyz'}[temperature=300]")
    assert [frame.temperature for frame in part] == [300.0] * 5
    write_extxyz(part, tmp_path / "a[frames=0:1].xyz")
    assert len(read(tmp_path / "a[frames=0:1].xyz")) == 5, "brackets in the name of a file"


@pytest.mark.parametrize(
    "words, sentence",
    [
        ("temp=300", 'no selection .did you mean "temperature"'),
        ("300", "'300' is no selection"),
        ("temperature=hot", "temperature=hot cannot be read; give kelvin"),
        ("frames=3", "frames=3 cannot be read; give a range"),
        ("frames=0:9:0", "cannot be read"),
        ("temperature=301", "has no frame with temperature=301; its temperatures are 300, 3000, 6000 K"),
        ("group=amd", 'no frame with group=amd .did you mean "aimd"'),
        ("frames=900:", "has 194 frames and none with frames=900:"),
    ],
)
def test_refused(words, sentence):
    with pytest.raises(MetalffError, match=sentence):
        read(f"zuo2020-Mo:train[{words}]")


def test_joined():
    parts = [load("zuo2020-Mo", "test"), load("li2020-Mo", "test"), load("zuo2020-Cu", "test")]
    whole = join(parts)
    assert whole.frames == sum((part.frames for part in parts), ())
    assert whole.name == "zuo2020-Mo:test + li2020-Mo:test + zuo2020-Cu:test" and whole.elements == ["Cu", "Mo"]
    assert whole.citation == f"{parts[0].citation}\n{parts[1].citation}" and whole.licence == "BSD-3-Clause"
    assert join(parts[:1]) is parts[0]
