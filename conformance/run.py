"""Runs SQLAlchemy's own ORM tests twice, with its session and with manybase's, and compares test by test.

``python conformance/run.py [--sqlalchemy VERSION] [-k EXPRESSION] [FILES]``. Exits 1 when a differing test has no
reason in ``expected.toml``, when one that has a reason passes again, when a test made no session of manybase's, and,
where all tests were run, below 99.5 %.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import tomllib
from importlib.metadata import version
from typing import Any

from compare import Comparison, compare
from source import CACHE, HERE, PROJECT, Source, prepare

REQUIRED = 99.5
# What pytest exits with: all passed, some failed, none were chosen. Anything else means that tests are missing.
FINISHED = (0, 1, 5)
# Async tests ask for an async driver, all others are written for the sync default.
SUITES = {
    "sqlite": [
        "test/orm",
        "test/ext/test_associationproxy.py",
        "test/ext/test_baked.py",
        "test/ext/test_hybrid.py",
        "test/ext/test_mutable.py",
        "test/ext/test_orderinglist.py",
    ],
    "aiosqlite": ["test/ext/asyncio/test_session.py", "test/ext/asyncio/test_scoping.py"],
}
# Mapping configuration, attributes, expressions: hardly a session in them.
LEFT_OUT = [
    "test/orm/declarative",
    "test/orm/dml/test_evaluator.py",
    "test/orm/test_attributes.py",
    "test/orm/test_descriptor.py",
    "test/orm/test_inspect.py",
    "test/orm/test_instrumentation.py",
    "test/orm/test_rel_fn.py",
    "test/orm/test_session_state_change.py",
    "test/orm/test_syntax_extensions.py",
    "test/orm/test_utils.py",
    "test/orm/test_validators.py",
]


def main() -> int:
    options = parsed()
    source = prepare(options.sqlalchemy)
    started = time.monotonic()
    plain = outcomes(source, options, swap=False)
    swapped = outcomes(source, options, swap=True)
    part = bool(options.files or options.k)  # a percentage says something of all tests only
    comparison = compare(plain, swapped, reasons(), required=0 if part else REQUIRED)
    report = CACHE / f"report-{source.version}.json"
    report.write_text(json.dumps(comparison.as_json(), indent=1))
    show(source, comparison, seconds=time.monotonic() - started)
    print(f"\n{report}")
    return 0 if comparison.conforms else 1


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sqlalchemy", metavar="VERSION", default=version("sqlalchemy"), help="default: the installed")
    parser.add_argument("--jobs", metavar="N", default=str(os.cpu_count()), help="test processes, default one per core")
    parser.add_argument("-k", metavar="EXPRESSION", help="only these tests, as pytest reads it")
    parser.add_argument("files", nargs="*", help="only these of SQLAlchemy's test files")
    return parser.parse_args()


def outcomes(source: Source, options: argparse.Namespace, *, swap: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for driver, chosen in SUITES.items():
        files = [file for file in options.files if driver_of(file) == driver] if options.files else chosen
        if files:
            found |= pytest(source, driver, files, options, swap=swap)
    return found


def driver_of(file: str) -> str:
    return "aiosqlite" if file.startswith("test/ext/asyncio") else "sqlite"


def pytest(source: Source, driver: str, files: list[str], options: argparse.Namespace, *, swap: bool) -> dict[str, Any]:
    name = f"{'swapped' if swap else 'plain'}-{driver}"
    written, log = source.root.parent / f"{name}.json", source.root.parent / f"{name}.log"
    written.unlink(missing_ok=True)
    command = [str(source.python), "-m", "pytest", "-p", "xdist", "-p", "plugin", "--outcomes", str(written), *files]
    # Their own options stop at 250 failures and print each test.
    command += ["-o", "addopts=", "-p", "no:cacheprovider", "-q", "--tb=short", "--strict-markers"]
    command += ["--db", driver, "-n", options.jobs]
    command += [] if options.files else [f"--ignore={path}" for path in LEFT_OUT]
    command += ["--swap"] if swap else []
    command += ["-k", options.k] if options.k else []
    print(f"{name}: {log}", flush=True)
    with log.open("w") as output:
        done = subprocess.run(
            command, cwd=source.root, env=environment(), stdout=output, stderr=subprocess.STDOUT, check=False
        )
    print(f"  {log.read_text().strip().rpartition(chr(10))[2]}", flush=True)
    if done.returncode not in FINISHED or not written.exists():
        sys.exit(f"{name} did not run to its end, see {log}")
    return json.loads(written.read_text())  # type: ignore[no-any-return]


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(PROJECT / "src")]),
        # Else their conftest puts its own folder before the installed, compiled library.
        "PYTHONNOUSERSITE": "1",
        # The environment has plugins of ours, which they do not expect.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


def reasons() -> dict[str, str]:
    listed = tomllib.loads((HERE / "expected.toml").read_text()).get("difference", [])
    return {test: entry["reason"] for entry in listed for test in entry["tests"]}


def show(source: Source, comparison: Comparison, *, seconds: float) -> None:
    print(f"\nSQLAlchemy {source.version}, Python {sys.version.split()[0]}, {seconds:.0f} s")
    print(f"tests run                       {comparison.tests:>6}")
    print(f"make a session and pass plainly {comparison.passed_plainly:>6}")
    print(f"of these pass with manybase     {comparison.passed_swapped:>6}   {comparison.percentage:.2f} %")
    print(f"differences                     {len(comparison.differences):>6}")
    for difference in comparison.unexplained:
        print(f"\nno reason written down: {difference.test}\n  {difference.message}")
    for test in comparison.stale:
        print(f"\npasses again, take it off expected.toml: {test}")
    for test in comparison.not_swapped:
        print(f"\nmade no session of manybase's: {test}")


if __name__ == "__main__":
    sys.exit(main())
