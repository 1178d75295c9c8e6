"""`tools/mutants.toml` names the modules and test files that there are."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETTINGS = tomllib.loads((ROOT / "tools" / "mutants.toml").read_text())
MODULES = {**SETTINGS["core"], **SETTINGS["outside"]}


def test_mutants_settings_name_each_module_once() -> None:
    package = ROOT / "src" / "slugline"
    paths = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    without_code = {path for path in paths if path.endswith(("__init__.py", "_version.py"))}
    assert sorted(MODULES.keys() - paths) == [], "modules that are gone"
    assert sorted(paths - without_code - MODULES.keys()) == [], "modules missing in mutants.toml"
    assert not SETTINGS["core"].keys() & SETTINGS["outside"].keys()


def test_mutants_settings_name_existing_test_files() -> None:
    stems = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    missing = {
        module: [name for name in names.split() if f"test_{name}" not in stems]
        for module, names in MODULES.items()
    }
    assert {module: names for module, names in missing.items() if names} == {}
    assert all(names.split() for names in MODULES.values())
