# SPDX-License-Identifier: MIT
"""The function of --work MODULE:FUNCTION, for the examples that have it."""
import os
import pkgutil
import sys
from typing import Callable


def work_function(name: str) -> Callable:
    """Of a module in the current folder, too; leaves with a sentence if there is none."""
    sys.path.insert(0, os.getcwd())
    try:
        work = pkgutil.resolve_name(name)
    except (ValueError, ImportError, AttributeError) as error:
        sys.exit(f"--work {name}: {error}; give MODULE:FUNCTION, as in my_module:paint")
    if not callable(work):
        sys.exit(f"--work {name}: that is no function but {type(work).__name__}; give "
                 "MODULE:FUNCTION, as in my_module:paint")
    return work
