"""A second wheel with the potentials that the small one of MetalFF leaves out: ``python potentials_wheel.py dist/metalff-….whl``.

Writes ``metalff_potentials-VERSION-py3-none-any.whl`` beside it. Its files go where those of MetalFF are.
"""

import base64
import hashlib
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SHARE = "metalff/share"


def main() -> None:
    wheel = Path(sys.argv[1])
    with zipfile.ZipFile(wheel) as small:
        version = wheel.name.split("-")[1]
        about = Parser().parsestr(small.read(f"metalff-{version}.dist-info/METADATA").decode(), headersonly=True)
        names = small.read(f"{SHARE}/potentials/elsewhere.txt").decode().split()
    info = f"metalff_potentials-{version}.dist-info"
    metadata = f"""Metadata-Version: 2.4
Name: metalff-potentials
Version: {version}
Summary: The larger trained models and reference potentials of MetalFF
License-Expression: {about["License-Expression"]}
Requires-Dist: metalff=={version}

Licence and source of each file: `metalff inspect FILE`, `metalff potentials show NAME`.
"""
    members = {f"{SHARE}/{name}": (PROJECT / name).read_bytes() for name in names}
    members[f"{info}/METADATA"] = metadata.encode()
    members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: metalff\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = f"{info}/RECORD"
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}" for name, data in members.items()
    ]
    members[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    path = wheel.with_name(f"metalff_potentials-{version}-py3-none-any.whl")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            out.writestr(entry, data, compresslevel=9)
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, {len(names)} files")


if __name__ == "__main__":
    main()
