# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where meson and pip put shmnumpy, and the folder on every Python that is here."""
import glob
import os
import re
import shutil
import site
import subprocess
import sys

import pytest

import shmnumpy
from loopback import ROOT

PYTHON = os.path.join(ROOT, "python")
VERSIONS = ["3.9", "3.10", "3.11", "3.12", "3.13"]
VENV_LINES = re.compile(r"^python3 -m venv .*\n.*pip install .*$", re.M)


def make_venv(folder):
    made = subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True,
                          text=True)
    if made.returncode:
        pytest.skip(f"python3-venv is not installed: {made.stdout}")
    return os.path.join(folder, "bin", "python")


def test_lines_of_the_page_install_it_offline(tmp_path):
    with open(os.path.join(ROOT, "docs", "install.md"), encoding="utf-8") as file:
        lines = VENV_LINES.search(file.read())[0]
    make_venv(tmp_path / "probe")
    for package in ("setuptools", "wheel"):
        pytest.importorskip(package)
    shutil.copytree(PYTHON, tmp_path / "python")  # setuptools builds in there
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull,
                   "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
    for variable in ("PIP_FIND_LINKS", "PYTHONPATH"):
        environment.pop(variable, None)
    subprocess.run(["sh", "-e", "-c", lines], check=True, env=environment, cwd=tmp_path)
    where = subprocess.run(
        [tmp_path / "env" / "bin" / "python", "-c",
         "import shmnumpy; print(shmnumpy.__version__, shmnumpy.__file__)"],
        check=True, env=environment, capture_output=True, text=True,
        cwd=tmp_path / "probe").stdout
    version, file = where.split()
    assert version == shmnumpy.__version__ and file.startswith(str(tmp_path / "env"))


def install_dir(prefix):
    return subprocess.run([sys.executable, os.path.join(PYTHON, "install_dir.py"), prefix],
                          check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("prefix", ["/usr", "/usr/local", site.getuserbase()])
def test_meson_installs_where_python_looks(prefix):
    assert install_dir(prefix) in [*site.getsitepackages(), site.getusersitepackages()]


def test_meson_installs_where_a_venv_looks(tmp_path):
    python = make_venv(tmp_path / "venv")
    searched = subprocess.run([python, "-c", "import sys; print(sys.path)"], check=True,
                              capture_output=True, text=True).stdout
    assert repr(install_dir(str(tmp_path / "venv"))) in searched


def test_copied_folder_is_enough(copied, name):
    program = ("import shmnumpy; "
               f"print(int(shmnumpy.open({name!r}).state), shmnumpy.__file__)")
    said = subprocess.run([sys.executable, "-s", "-c", program], check=True, cwd=copied,
                          env={}, capture_output=True, text=True).stdout.split()
    assert said == [f"{int(shmnumpy.State.ABSENT)}", f"{copied}/shmnumpy/__init__.py"]


@pytest.mark.parametrize("version", VERSIONS)
def test_folder_compiles_with(version, tmp_path):
    """Syntax and standard library; NumPy is there only for the system's Python."""
    found = glob.glob(os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin/python"))
    python = next(iter(found), shutil.which(f"python{version}"))
    if python is None:
        pytest.skip(f"python{version} is not installed")
    (tmp_path / "numpy.py").write_text("class ndarray: pass\n")
    subprocess.run([python, "-c", "import shmnumpy"], check=True, cwd=tmp_path,
                   env={**os.environ, "PYTHONPATH": f"{tmp_path}:{PYTHON}",
                        "PYTHONDONTWRITEBYTECODE": "1"})
