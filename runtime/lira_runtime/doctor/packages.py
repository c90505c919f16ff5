"""Python and the packages: are they there, are they what is asked for, are they what was tested?"""

import sys
from collections.abc import Iterator, Sequence
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lira_runtime.commands import DISTRIBUTION, version_of
from lira_runtime.doctor.finding import Finding, pip_install
from lira_runtime.doctor.tested import Tested, extras, read_tested, requirements


def check_environment(needed: Sequence[str]) -> Iterator[Finding]:
    """Python, every package that is installed, and the extras; `needed` are those that must be complete."""
    matrix = read_tested()
    yield _python(matrix)
    wanted = {extra: requirements(extra) for extra in ("", *(needed or extras()))}
    unlike = {found.said: found for each in wanted.values() for item in each for found in _package(item, matrix)}
    yield from unlike.values()
    if not unlike:
        yield Finding(check="package", said=f"versions are the tested ones of Python {matrix.python}")
    for extra, items in wanted.items():
        yield _extra(extra, items, matrix, extra in ("", *needed))


def _python(matrix: Tested) -> Finding:
    here = ".".join(map(str, sys.version_info[:3]))
    try:
        allowed = metadata.metadata(DISTRIBUTION)["Requires-Python"] or ""
    except metadata.PackageNotFoundError:
        said = f"{DISTRIBUTION} is not installed in this environment; run from its folder:"
        return Finding(check="python", level="problem", said=said, mend=f"{sys.executable} -m pip install .")
    mend = f"python{matrix.python} -m venv .venv && .venv/bin/python -m pip install . -c {matrix.path}"
    if here not in SpecifierSet(allowed):
        return Finding(check="python", level="problem", said=f"{here}, but {allowed} is needed", mend=mend)
    if not here.startswith(f"{matrix.python}."):
        return Finding(check="python", level="notice", said=f"{here} should do; tested is {matrix.python}", mend=mend)
    return Finding(check="python", said=here)


def _package(requirement: Requirement, matrix: Tested) -> Iterator[Finding]:
    """What is wrong with a package that is installed."""
    name = canonicalize_name(requirement.name)
    found, known = version_of(name), matrix.packages.get(name)
    if found is None or known is None or Version(found).public == known:
        return
    mend = pip_install([f"{name}=={known}"], str(matrix.path))
    if requirement.specifier.contains(found, prereleases=True):
        said = f"{name} {found} should do; tested is {known}"
        yield Finding(check="package", level="notice", said=said, mend=mend)
    else:
        said = f"{name} {found} is installed, {requirement.specifier} is needed"
        yield Finding(check="package", level="problem", said=said, mend=mend)


def _extra(extra: str, items: Sequence[Requirement], matrix: Tested, needed: bool) -> Finding:
    names = [canonicalize_name(item.name) for item in items]
    missing = [name for name in names if version_of(name) is None]
    title = f"extra {extra}" if extra else "the runtime"
    if not missing:
        return Finding(check="extra", said=f"{title} is complete")
    said = f"{title} lacks {', '.join(missing)}"
    mend = pip_install([matrix.pinned(name) for name in missing], str(matrix.path))
    return Finding(check="extra", level="problem" if needed else "notice", said=said, mend=mend)
