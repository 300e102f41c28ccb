# SPDX-License-Identifier: MIT
"""Prints the folder below a prefix in which this Python looks for modules."""
import site
import sys
import sysconfig

prefix = sys.argv[1]
inside = [folder for folder in [*site.getsitepackages(), site.getusersitepackages()]
          if folder.startswith(prefix + "/lib/")]
# A venv is no prefix that this Python knows, and is laid out like this.
print(inside[0] if inside else
      sysconfig.get_path("purelib", "posix_prefix", {"base": prefix}))
