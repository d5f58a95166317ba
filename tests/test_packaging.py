"""setup.cfg: what is in the tree is in the package."""

from configparser import ConfigParser
from pathlib import Path

from tickstorm import __version__

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
OPTIONS = CONFIG["options"]
PACKAGES = OPTIONS["packages"].split()


def dotted(path):
    return ".".join(path.relative_to(ROOT).parts)


def test_every_package_is_listed():
    found = {dotted(file.parent) for file in (ROOT / "tickstorm").rglob("__init__.py")}
    assert [*PACKAGES] == sorted({*found, "twisted.plugins"})


def test_every_module_is_in_a_package():
    folders = {dotted(file.parent) for file in (ROOT / "tickstorm").rglob("*.py")}
    data = {"tickstorm.sources.recordings"}  # the script that made the recording lies beside it
    assert folders - data <= set(PACKAGES)


def test_every_file_that_is_no_module_is_listed_as_data():
    listed = {
        file
        for package, patterns in CONFIG["options.package_data"].items()
        for pattern in patterns.split()
        for file in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    ignored = {".py", ".pyc"}
    found = {
        file
        for file in (ROOT / "tickstorm").rglob("*")
        if file.is_file() and file.suffix not in ignored
    }
    assert found <= listed
    assert ROOT / "twisted/plugins/tickstorm_plugin.py" in listed


def test_the_names_of_twisted_stay_its_own():
    # Either file would hide the rest of the package of that name.
    assert not (ROOT / "twisted" / "__init__.py").exists()
    assert not (ROOT / "twisted" / "plugins" / "__init__.py").exists()


def test_the_version_is_that_of_the_package():
    assert CONFIG["metadata"]["version"] == "attr: tickstorm.__version__"
    assert __version__


def test_the_command_is_there():
    name, _, target = OPTIONS.parser["options.entry_points"]["console_scripts"].partition("=")
    module, function = target.strip().split(":")
    assert name.strip() == "tickstorm"
    assert f"def {function}" in (ROOT / f"{module.replace('.', '/')}.py").read_text()


def test_every_python_that_is_named_is_new_enough():
    assert OPTIONS["python_requires"] == ">=3.11"
    classifiers = CONFIG["metadata"]["classifiers"].splitlines()
    versions = [line.split(" :: ")[-1] for line in classifiers if "Python :: 3." in line]
    assert versions == ["3.11", "3.12", "3.13"]
