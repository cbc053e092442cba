"""What users get: a wheel from the tree and one from the sdist, which must be the same, byte for byte."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import kraken_fast

pytestmark = pytest.mark.xdist_group("packaging")  # one process builds, once

ROOT = Path(__file__).resolve().parent.parent
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", ".hypothesis", ".benchmarks", "__pycache__", "build", "dist", "*.egg-info", "*.so"
)


def build(kind: str, tree: Path, out: Path) -> Path:
    """Run one build in `tree` and return its only product."""
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return next(out.iterdir())


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree") / "checkout"
    shutil.copytree(ROOT, tree, ignore=NOT_SOURCE)
    return build("sdist", tree, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that comes straight from the tree."""
    tree = tmp_path_factory.mktemp("other") / "elsewhere" / "checkout"
    shutil.copytree(ROOT, tree, ignore=NOT_SOURCE)
    return build("wheel", tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def wheel_of_sdist(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(sdist, folder)
    return build("wheel", next(folder.iterdir()), tmp_path_factory.mktemp("wheel_of_sdist"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files, unpacked."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_tests_run_against_the_installed_package() -> None:
    package = Path(kraken_fast.__file__).resolve().parent
    assert package != ROOT / "kraken_fast", "pytest imports the uncompiled tree; install the package and run `pytest`"
    assert list(package.glob("core/*.so"))


def test_both_ways_lead_to_the_same_wheel(wheel: Path, wheel_of_sdist: Path) -> None:
    assert wheel.name == wheel_of_sdist.name
    direct, by_sdist = contents(wheel), contents(wheel_of_sdist)
    assert direct.keys() == by_sdist.keys()
    assert [name for name in direct if direct[name] != by_sdist[name]] == []


def test_the_wheel_holds_what_runs_and_nothing_else(wheel: Path) -> None:
    names = {name for name in contents(wheel) if ".dist-info/" not in name}
    kinds = {".py", ".so", ".pxd", ".pyi", ".typed", ".json"}
    assert [name for name in names if Path(name).suffix not in kinds or not name.startswith("kraken_fast/")] == []
    source = {path.relative_to(ROOT) for path in (ROOT / "kraken_fast").rglob("*") if path.is_file()}
    for path in source:
        if path.suffix in kinds - {".so"} and "__pycache__" not in path.parts:
            assert str(path) in names, f"{path} did not get into the wheel"
        if path.suffix == ".pyx":
            module = str(path.with_suffix(""))
            assert [name for name in names if re.fullmatch(rf"{module}\.[\w-]+\.so", name)], f"{path} is not compiled"


def sources() -> set[str]:
    """What git holds; in a copy without git, as .ci/run makes one, what the copy holds."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        return set(listed.stdout.split())
    found: set[str] = set()
    for folder, inner, files in os.walk(ROOT):
        inner[:] = [name for name in inner if name not in NOT_SOURCE(folder, inner)]
        kept = set(files) - NOT_SOURCE(folder, files)
        found |= {str((Path(folder) / name).relative_to(ROOT)) for name in kept}
    return found


def test_the_sdist_holds_all_sources(sdist: Path) -> None:
    tracked = sources()
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in tracked - held if (ROOT / name).exists()} == {".gitignore"}
    made = {"", "PKG-INFO", "setup.cfg"}
    assert {name for name in held - tracked - made if ".egg-info" not in name and not (ROOT / name).exists()} == set()
    assert [name for name in held if name.endswith((".so", ".pyc"))] == []
    assert [name for name in held if name.endswith(".c") and name.startswith("kraken_fast/")] == []


def test_no_module_knows_where_it_was_built(installed: Path) -> None:
    places = {str(ROOT).encode(), str(installed.parent).encode(), sys.prefix.encode(), sys.base_prefix.encode()}
    places -= {b"/", b"/usr"}
    for module in installed.rglob("*.so"):
        data = module.read_bytes()
        assert [place for place in places if place in data] == [], module.name


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs readelf, of binutils")
def test_modules_are_hardened(installed: Path) -> None:
    for module in installed.rglob("*.so"):
        shown = subprocess.run(["readelf", "-dlW", str(module)], capture_output=True, text=True, check=True).stdout
        assert "GNU_RELRO" in shown, module.name
        assert "BIND_NOW" in shown, module.name
        assert "RPATH" not in shown, module.name
        assert "RUNPATH" not in shown, module.name
        stack = next(line for line in shown.splitlines() if "GNU_STACK" in line)
        assert " RW " in stack, module.name


def test_the_version_is_told_in_one_place(wheel: Path) -> None:
    assert wheel.name.startswith(f"kraken_fast-{importlib.metadata.version('kraken_fast')}-")


def test_the_installed_package_stands_alone(installed: Path, tmp_path: Path) -> None:
    code = "import kraken_fast, kraken_fast.core.listener, kraken_fast.sim; print(kraken_fast.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
