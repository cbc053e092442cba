"""What users get: the package as pip built it from the tree, and the wheel of the sdist: the same, byte for byte."""

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

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = Path(kraken_fast.__file__).resolve().parent
MODULES = sorted(INSTALLED.glob("core/*.so"))
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", ".hypothesis", ".benchmarks", "__pycache__", "build", "dist", "*.egg-info", "*.so"
)


def build(kind: str, tree: Path, out: Path) -> Path:
    """Run one build in `tree` and return its product."""
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    (product,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return product


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


def test_the_tests_run_against_the_installed_package() -> None:
    assert INSTALLED != ROOT / "kraken_fast", "pytest imports the uncompiled tree; install the package and run `pytest`"
    assert MODULES


def test_the_sdist_holds_all_sources_and_its_wheel_is_what_is_installed(tmp_path: Path) -> None:
    """One test, so that one process builds, once. KRAKEN_FAST_DIST keeps both products."""
    out, tree = Path(os.environ.get("KRAKEN_FAST_DIST", tmp_path / "dist")), tmp_path / "checkout"
    shutil.copytree(ROOT, tree, ignore=NOT_SOURCE)
    if (ROOT / "build" / "cython").exists():  # C that pip left; it is in no sdist, but setup.py asks for it
        shutil.copytree(ROOT / "build" / "cython", tree / "build" / "cython")
    sdist = build("sdist", tree, out)
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(tmp_path, filter="data")
    tracked = sources()
    assert {name for name in tracked - held if (ROOT / name).exists()} == {".gitignore"}
    made = {"", "PKG-INFO", "setup.cfg"}
    assert {name for name in held - tracked - made if ".egg-info" not in name and not (ROOT / name).exists()} == set()
    assert [name for name in held if name.endswith((".so", ".pyc"))] == []
    assert [name for name in held if name.endswith(".c") and name.startswith(("kraken_fast/", "build/"))] == []

    wheel = build("wheel", tmp_path / sdist.name.removesuffix(".tar.gz"), out)
    assert wheel.name.startswith(f"kraken_fast-{importlib.metadata.version('kraken_fast')}-")
    with zipfile.ZipFile(wheel) as archive:
        by_sdist = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    direct = {f"kraken_fast/{path.relative_to(INSTALLED)}": path.read_bytes() for path in installed_files()}
    assert direct.keys() == by_sdist.keys()
    assert [name for name in direct if direct[name] != by_sdist[name]] == []


def installed_files() -> list[Path]:
    """What the wheel brought; bytecode is written later."""
    return [path for path in INSTALLED.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_what_runs_is_installed_and_nothing_else() -> None:
    names = {f"kraken_fast/{path.relative_to(INSTALLED)}" for path in installed_files()}
    kinds = {".py", ".so", ".pxd", ".pyi", ".typed", ".json"}
    assert [name for name in names if Path(name).suffix not in kinds] == []
    for path in (ROOT / "kraken_fast").rglob("*"):
        source = path.relative_to(ROOT)
        if source.suffix in kinds - {".so"} and "__pycache__" not in source.parts:
            assert str(source) in names, f"{source} did not get into the wheel"
        if source.suffix == ".pyx":
            module = str(source.with_suffix(""))
            assert [name for name in names if re.fullmatch(rf"{module}\.[\w-]+\.so", name)], f"{source} is not compiled"


def test_no_module_knows_where_it_was_built() -> None:
    places = {str(ROOT).encode(), sys.prefix.encode(), sys.base_prefix.encode()} - {b"/", b"/usr"}
    for module in MODULES:
        data = module.read_bytes()
        assert [place for place in places if place in data] == [], module.name


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs readelf, of binutils")
def test_modules_are_hardened() -> None:
    for module in MODULES:
        shown = subprocess.run(["readelf", "-dlW", str(module)], capture_output=True, text=True, check=True).stdout
        assert "GNU_RELRO" in shown, module.name
        assert "BIND_NOW" in shown, module.name
        assert "RPATH" not in shown, module.name
        assert "RUNPATH" not in shown, module.name
        stack = next(line for line in shown.splitlines() if "GNU_STACK" in line)
        assert " RW " in stack, module.name
