# SPDX-License-Identifier: MIT
"""Builds the wheel of shmnumpy.py with the standard library alone.

pip builds in an environment of its own and would fetch setuptools for it; one module
is no reason to need a network.
"""
import base64
import hashlib
import pathlib
import re
import zipfile

HERE = pathlib.Path(__file__).parent


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """The hook of PEP 517 that pip calls."""
    source = (HERE / "shmnumpy.py").read_bytes()
    version = re.search(rb'__version__ = "(.+)"', source)[1].decode()
    info = f"shmnumpy-{version}.dist-info"
    files = {
        "shmnumpy.py": source,
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: shmnumpy\nVersion: {version}\n"
            "Summary: Video frames from shared memory as NumPy arrays\nLicense: MIT\n"
            "Requires-Python: >=3.9\nRequires-Dist: numpy>=1.24\n").encode(),
        f"{info}/WHEEL": (b"Wheel-Version: 1.0\nGenerator: build_wheel\n"
                          b"Root-Is-Purelib: true\nTag: py3-none-any\n"),
    }
    record = ""
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
        record += f"{path},sha256={digest.decode().rstrip('=')},{len(content)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = f"shmnumpy-{version}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / wheel, "w",
                         zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel
