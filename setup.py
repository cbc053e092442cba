"""The compiled core: which extensions there are and how they are compiled. All else is in pyproject.toml."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CORE = Path("kraken_fast/core")
JOBS = len(os.sched_getaffinity(0))

# -O3 earns about 12 % over -O2 on the scanner. The hardening flags cost nothing measurable.
# No -march: a wheel runs on any CPU of its architecture, faster instructions are chosen at run time.
# The prefix map and -g0 keep the path of the build out of the binary: the same source gives the same bytes anywhere.
# Unwind tables would be an eighth of the core; C code that throws nothing needs none but for native flame graphs.
COMPILE = [
    "-O3", "-g0", "-Wall", "-Wextra", "-Wno-unused-parameter",
    "-fno-asynchronous-unwind-tables", "-fstack-protector-strong",
    "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", f"-ffile-prefix-map={Path.cwd()}=.",
]
# Modules that messages pass in a few lines only, or not at all: their code may be slower, and is a third smaller. Where
# size counts, gcc compares memory by an instruction that is ten times slower than the library's memcmp.
SELDOM = {
    "_shared", "arbiter", "capture", "decode_control", "execution", "fields", "fixed", "handler", "latency", "line",
    "queues", "sequenced", "shape", "sink", "stores", "tables", "tee",
}
SMALL = ["-Os", "-fno-builtin-memcmp"]
# What Cython would write into every module (its types of functions and generators), once: a fifth of the core's size.
SHARED = "_shared"
LINK = ["-Wl,-z,relro,-z,now,-z,noexecstack"]


class BuildCore(build_ext):
    """Leaves out the run-time search path that some interpreters write into every module: ours need none."""

    def build_extensions(self) -> None:
        linker = self.compiler.linker_so
        self.compiler.linker_so = [flag for flag in linker if not flag.startswith("-Wl,-rpath")]
        super().build_extensions()



def compiled(name: str, source: str) -> Extension:
    """Describe one module of the core."""
    flags = COMPILE + SMALL if name in SELDOM else COMPILE
    return Extension(f"kraken_fast.core.{name}", [source], extra_compile_args=flags, extra_link_args=LINK)


extensions = [compiled(source.stem, str(source)) for source in sorted(CORE.glob("*.pyx"))]
extensions.append(compiled(SHARED, f"{CORE}/{SHARED}.c"))  # Cython writes it, into build_dir as all C

setup(
    ext_modules=cythonize(
        extensions,
        build_dir="build/cython",  # generated C never stands beside the sources
        compiler_directives={"language_level": 3, "embedsignature": True},
        shared_utility_qualified_name=f"kraken_fast.core.{SHARED}",
        shared_utility_features_disabled=["MemoryView"],  # which nothing of ours is
        nthreads=JOBS,
    ),
    cmdclass={"build_ext": BuildCore},
    options={"build_ext": {"parallel": JOBS}},
)
