"""SQLAlchemy's own tests, out of its source distribution, and an environment of their own to run them in."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
CACHE = PROJECT / ".cache" / "conformance"
# pip downloads the source, and their tests know how to share out their databases among the processes of xdist.
NEEDED = ("pip", "pytest-xdist==3.8.0")


@dataclass(frozen=True)
class Source:
    """Where the tests of one SQLAlchemy version lie, and the interpreter that has exactly this version installed."""

    version: str
    root: Path
    python: Path


def prepare(version: str) -> Source:
    """The tests and the interpreter for this SQLAlchemy version, fetched and made once, then kept in the cache."""
    home = CACHE / f"sqlalchemy-{version}-python{sys.version_info.major}.{sys.version_info.minor}"
    python = interpreter(home / "venv", version)
    return Source(version=version, root=unpacked(home, version, python), python=python)


def interpreter(home: Path, version: str) -> Path:
    home.parent.mkdir(parents=True, exist_ok=True)
    make = [sys.executable, str(PROJECT / "scripts" / "bootstrap.py")]
    subprocess.run([*make, str(home.relative_to(PROJECT)), f"sqlalchemy=={version}", *NEEDED], check=True)
    return home / "bin" / "python"


def unpacked(home: Path, version: str, python: Path) -> Path:
    root = home / f"sqlalchemy-{version}"
    if root.exists():
        return root
    download(home, version, python)
    (archive,) = (path for path in home.glob("*.tar.gz") if path.name.lower() == f"sqlalchemy-{version}.tar.gz")
    fresh = home / "unpacking"  # renamed when whole, so that an interrupted run leaves no half of it
    with tarfile.open(archive) as tar:
        tar.extractall(fresh, filter="data")
    (inner,) = fresh.iterdir()
    inner.rename(root)
    fresh.rmdir()
    return root


def download(home: Path, version: str, python: Path) -> None:
    """The source distribution; pip asks its build backend for metadata, which compiles nothing."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--dest", str(home)]
    subprocess.run([*command, "--no-deps", "--no-binary", "sqlalchemy", f"sqlalchemy=={version}"], check=True)
