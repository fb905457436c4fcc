"""One environment in the project's folder: made by uv for this interpreter, and made again when its inputs change."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import tools

ROOT = Path(__file__).resolve().parent.parent
INPUTS = ("pyproject.toml", "uv.lock")
# Where Debian, Fedora, Alpine and their children keep the certificates that this machine trusts.
CERTIFICATES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))


def make(folder: str, requirements: Sequence[str] = (), *, python: str = sys.executable) -> Path:
    """The interpreter of an environment that is as pyproject.toml and uv.lock say, except for `requirements`."""
    home = ROOT / folder
    made, stamp, wanted = home / "bin" / "python", home / "made-from", _inputs(home, python, requirements)
    before = stamp.read_text() if stamp.exists() else ""
    if before == wanted and made.exists():
        return made
    print(
        f"Making {' with '.join([folder, *requirements])} for {os.path.realpath(python)}", file=sys.stderr, flush=True
    )
    uv, variables = tools.uv(), _variables(home, python)
    stamp.unlink(missing_ok=True)
    if before and not before.startswith(f"{home}\n"):
        shutil.rmtree(home)  # the clone was moved or copied: the programs in there start another interpreter
    _run([uv, "sync", "--locked"], variables)
    if requirements:
        _run([uv, "pip", "install", "--python", str(made), *requirements], variables)
    stamp.write_text(wanted)
    return made


def _inputs(home: Path, python: str, requirements: Sequence[str]) -> str:
    """What the environment depends on. The interpreter's real path: that of an environment of ours is the same one."""
    locked = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in INPUTS)).hexdigest()
    return "\n".join([str(home), os.path.realpath(python), locked, *requirements])


def _variables(home: Path, python: str) -> Mapping[str, str]:
    variables = {
        **os.environ,
        "UV_PROJECT_ENVIRONMENT": str(home),
        "UV_PYTHON": os.path.realpath(python),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    variables.pop("VIRTUAL_ENV", None)  # uv warns about one that is not the project's
    if any(file.exists() for file in CERTIFICATES):
        # Else uv trusts only the certificates it brings along, and a company's proxy is refused.
        variables.setdefault("UV_SYSTEM_CERTS", "true")
    if not _has_cache():
        variables.setdefault("UV_CACHE_DIR", str(ROOT / ".cache" / "uv"))
    return variables


def _has_cache() -> bool:
    """Whether uv can write where it keeps its downloads: some accounts have no home directory."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "uv")
        cache.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return False
    return os.access(cache, os.W_OK)


def _run(command: Sequence[str], variables: Mapping[str, str]) -> None:
    # Where somebody watches, with the progress of the downloads; else only what goes wrong.
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    subprocess.run([*command, *quiet], cwd=ROOT, env=variables, check=True)
