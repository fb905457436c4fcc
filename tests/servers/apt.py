"""Server programs from Debian's or Ubuntu's packages: installed when we are root, else unpacked into a directory."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

# Two servers may be wanted at the same time, apt-get serves one.
_one_at_a_time = threading.Lock()
_PATIENCE = ("-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=20")
# Left out when unpacking: big, and only for just-in-time compilation and for Perl. The C library belongs to the system.
_NOT_NEEDED = ("libllvm", "libperl", "libc6", "libc-")


class AptError(Exception):
    """apt-get could not get the packages; the message is what it said."""


def can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def can_unpack() -> bool:
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


def install(patterns: Sequence[str]) -> None:
    """The newest packages whose names match the patterns are installed, and no service of theirs was started."""
    with _one_at_a_time, _no_system_cluster():
        packages = _newest(patterns, after=_update())
        _run("apt-get", *_PATIENCE, "install", "-y", "--no-install-recommends", *packages)


def unpack(patterns: Sequence[str], *, into: Path) -> None:
    """The files of those packages and of the libraries missing here; needs no rights, and no other package list."""
    into.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time, tempfile.TemporaryDirectory(dir=into.parent, prefix="unpacking-") as scratch:
        state = _private_state(Path(scratch))
        packages = _newest(patterns, *state, after=_update(*state))
        plan = _run("apt-get", *state, "--simulate", "install", "--no-install-recommends", *packages)
        _run("apt-get", *_PATIENCE, *state, "download", *_worth_unpacking(plan, packages), cwd=scratch)
        root = Path(scratch, "root")
        for archive in Path(scratch).glob("*.deb"):
            _run("dpkg-deb", "-x", str(archive), str(root))
        _move(root, into)


def libraries(root: Path) -> tuple[Path, ...]:
    """Where the libraries are of programs that were unpacked below `root`."""
    return (*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*"))


def _update(*options: str) -> str:
    """What apt-get complained of. No error yet: a repository that does not answer may not be the one we need."""
    command = ["apt-get", *_PATIENCE, *options, "update"]
    done = subprocess.run(command, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stderr.partition("\n")[0]


def _newest(patterns: Sequence[str], *options: str, after: str) -> list[str]:
    """The newest package for each pattern."""
    packages: list[str] = []
    for pattern in patterns:
        found = _run("apt-cache", *options, "search", "--names-only", f"^{pattern}$").splitlines()
        names = [name for line in found if re.fullmatch(pattern, name := line.partition(" ")[0])]
        if not names:
            raise AptError(f"no package is called {pattern}; apt-get update said: {after or 'nothing'}")
        packages.append(max(names, key=_version))
    return packages


def _version(package: str) -> tuple[bool, list[int]]:
    """Sorts mariadb-server-core-10.5, mariadb-server-core-10.11, mariadb-server-core: without a number comes last."""
    numbers = [int(number) for number in re.findall(r"\d+", package)]
    return (not numbers, numbers)


def _private_state(folder: Path) -> list[str]:
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    return ["-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache", "-o", "Debug::NoLocking=1"]


def _worth_unpacking(plan: str, packages: Sequence[str]) -> list[str]:
    """Of the packages apt would install: ours and libraries. What the system has already is not among them."""
    planned = re.findall(r"^Inst (\S+)", plan, re.MULTILINE)
    return [
        name for name in planned if name in packages or (name.startswith("lib") and not name.startswith(_NOT_NEEDED))
    ]


def _move(root: Path, into: Path) -> None:
    try:
        root.rename(into)
    except OSError:
        if not into.exists():  # another run was quicker, and has the same
            raise


@contextlib.contextmanager
def _no_system_cluster() -> Iterator[None]:
    """Debian's PostgreSQL packages make a system-wide cluster and start it, now and at each boot: not while in here."""
    file = Path("/etc/postgresql-common/createcluster.d/manybase-tests.conf")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("create_main_cluster = false\n")
    try:
        yield
    finally:
        file.unlink()
        with contextlib.suppress(OSError):  # gone if they were ours
            file.parent.rmdir()
            file.parent.parent.rmdir()


def _run(*command: str, cwd: str | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        raise AptError((done.stderr or done.stdout)[-2000:].strip())
    return done.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
