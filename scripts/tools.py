"""The one tool that makes everything else, uv: the machine's own, or one fetched into `.venv-tools`."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-tools"
# Debian keeps pip's wheel here, in a package that a fresh machine lacks.
WHEELS = "usr/share/python-wheels"
WHEEL_PACKAGES = ("python3-pip-whl", "python3-setuptools-whl")


def uv() -> str:
    """The path of uv, which is fetched with pip when it is not on PATH."""
    ours = HOME / "bin" / "uv"
    for found in (shutil.which("uv"), str(ours)):
        if found and _runs(found):
            return found
    shutil.rmtree(HOME, ignore_errors=True)
    if importlib.util.find_spec("ensurepip"):
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        _pip([str(HOME / "bin" / "python"), "-m", "pip"])
    else:
        _pip([sys.executable, *_pip_without_venv()], "--target", str(HOME))
    return str(ours)


def _runs(program: str) -> bool:
    """A shim of pyenv is on PATH for versions that lack the program, and fails when it is run."""
    try:
        return subprocess.run([program, "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def _pip(pip: list[str], *options: str) -> None:
    # What a person has set for their own installations must not send it elsewhere.
    settings = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_ROOT_USER_ACTION": "ignore"}
    quiet = ("--quiet", "--disable-pip-version-check", "--no-cache-dir", "--only-binary", ":all:")
    subprocess.run([*pip, "install", *quiet, *options, _uv_requirement()], env={**os.environ, **settings}, check=True)


def _uv_requirement() -> str:
    """uv and the build backend that pyproject.toml names are one release."""
    build_system = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    return str(build_system["requires"][0]).replace("uv_build", "uv")


def _pip_without_venv() -> list[str]:
    """Debian and Ubuntu have split pip off Python; it runs out of its wheel, which needs no rights to be had."""
    if importlib.util.find_spec("pip"):
        return ["-m", "pip"]
    unpacked = ROOT / ".cache" / "pip"
    wheel = _pip_wheel(Path("/")) or _pip_wheel(unpacked) or _pip_wheel(_unpack(unpacked))
    if wheel is None:
        sys.exit(f"There is no pip in the packages {' and '.join(WHEEL_PACKAGES)}. Install uv or pip, and try again.")
    return [str(wheel / "pip")]


def _pip_wheel(root: Path) -> Path | None:
    return next((root / WHEELS).glob("pip-*.whl"), None)


def _unpack(into: Path) -> Path:
    sys.path.insert(0, str(ROOT))
    from tests.servers import apt

    if not apt.can_unpack():
        sys.exit(
            "There is neither uv nor pip here, and no apt-get to fetch pip with. Install uv or pip, and try again."
        )
    print("Fetching pip with apt-get, once", file=sys.stderr, flush=True)
    try:
        apt.unpack(WHEEL_PACKAGES, into=into)
    except apt.AptError as error:
        sys.exit(f"There is neither uv nor pip here, and apt-get could not fetch pip: {error}")
    return into
