# SPDX-License-Identifier: LGPL-2.1-or-later
"""`pip install ./python` without a network, and the file on every Python that is here."""
import glob
import os
import shutil
import subprocess
import sys

import pytest

import shmnumpy

PYTHON = os.path.join(os.path.dirname(__file__), "..", "..", "python")
VERSIONS = ["3.9", "3.10", "3.11", "3.12", "3.13"]


def test_pip_installs_it_offline(tmp_path):
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    environment.pop("PIP_FIND_LINKS", None)
    environment.pop("PYTHONPATH", None)
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--system-site-packages", tmp_path / "venv"],
        capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"python3-venv is not installed: {made.stdout}")
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", PYTHON], check=True,
                   env=environment)
    where = subprocess.run(
        [python, "-c", "import shmnumpy; print(shmnumpy.__version__, shmnumpy.__file__)"],
        check=True, env=environment, capture_output=True, text=True, cwd=tmp_path).stdout
    version, file = where.split()
    assert version == shmnumpy.__version__ and file.startswith(str(tmp_path))


@pytest.mark.parametrize("version", VERSIONS)
def test_file_compiles_with(version, tmp_path):
    """Syntax and standard library; NumPy is there only for the system's Python."""
    found = glob.glob(os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin/python"))
    python = next(iter(found), shutil.which(f"python{version}"))
    if python is None:
        pytest.skip(f"python{version} is not installed")
    (tmp_path / "numpy.py").write_text("class ndarray: pass\n")
    subprocess.run([python, "-c", "import shmnumpy"], check=True, cwd=tmp_path,
                   env={**os.environ, "PYTHONPATH": f"{tmp_path}:{PYTHON}",
                        "PYTHONDONTWRITEBYTECODE": "1"})
