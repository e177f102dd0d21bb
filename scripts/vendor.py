"""Fetch the pinned browser files from npm into static/vendor, with their licences and a manifest of hashes.

Run by hand when a version changes (`python scripts/vendor.py`; needs npm); the desk itself never needs npm.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

VENDOR_DIR = Path(__file__).resolve().parent.parent / "static" / "vendor"


@dataclass(frozen=True)
class Package:
    """One npm package and the single file of it that the pages use."""

    name: str
    version: str
    licence: str
    path: str

    @property
    def file_name(self) -> str:
        return Path(self.path).name


PACKAGES = (
    Package("htmx.org", "2.0.11", "0BSD", "dist/htmx.min.js"),
    Package("idiomorph", "0.8.0", "0BSD", "dist/idiomorph-ext.min.js"),
    Package("lightweight-charts", "5.2.1", "Apache-2.0", "dist/lightweight-charts.standalone.production.js"),
)


def fetch(package: Package, folder: Path) -> dict[str, str]:
    """Unpack one package's file and licence into static/vendor. Returns its row of the manifest."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{package.name}@{package.version}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(folder / f"{package.name}-{package.version}.tgz") as archive:
        content = _read(archive, f"package/{package.path}")
        licence_text = _read(archive, "package/LICENSE")
        declared = json.loads(_read(archive, "package/package.json"))["license"]
    if declared != package.licence:
        sys.exit(f"{package.name} {package.version} is under {declared}, not {package.licence}: look before you vendor")
    licence_file = f"licenses/{package.name}.txt"
    (VENDOR_DIR / licence_file).write_bytes(licence_text)
    (VENDOR_DIR / package.file_name).write_bytes(content)
    return {
        "name": package.name,
        "version": package.version,
        "licence": package.licence,
        "file": package.file_name,
        "licenceFile": licence_file,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        sys.exit(f"{archive.name!r} holds no file {name}")
    return member.read()


def main() -> None:
    (VENDOR_DIR / "licenses").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = [fetch(package, Path(folder)) for package in PACKAGES]
    (VENDOR_DIR / "VENDOR.json").write_text(json.dumps(rows, indent=2) + "\n")
    for row in rows:
        print(f"{row['name']} {row['version']} {row['sha256'][:12]} {row['licence']}")


if __name__ == "__main__":
    main()
