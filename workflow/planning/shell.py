"""What stands before every job's command."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

# Another installation's data breaks the PROJ and GDAL inside the wheels.
UNSET = ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH", "PYTHONHOME")

# What TensorFlow prints, from C++ and before any setting reaches it, whatever
# TF_CPP_MIN_LOG_LEVEL says: where its log goes, what it found on the machine, and an operation
# that is done in another way.
CHATTER = (
    "^(WARNING: All log messages before absl::InitializeLog|I0000 "
    r"|E0000 .*util\.cc:[0-9]+\] oneDNN supports DT_UINT8)"
)


def job_prefix(workflow: Path, *, own_python: bool) -> str:
    """Return the shell code that prepares the environment of a job and hands over to it.

    A rule's command is one program: what would follow it is never reached.

    Parameters
    ----------
    workflow
        The folder that holds the package.
    own_python
        Whether jobs run with Snakemake's own Python, rather than with conda's.
    """
    variables = {
        "PYTHONPATH": str(workflow),
        "PYTHONSAFEPATH": "1",  # no module of the folder that the user stands in
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # nothing is written beside the code
        # GeoPackage and shapefile hold the time of writing, and would never be the same twice.
        "OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z",
        "TF_CPP_MIN_LOG_LEVEL": "2",  # warnings and errors, without what it found on the machine
    }
    exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    commands = ["set -euo pipefail", f"unset {' '.join(UNSET)}", f"export {exports}"]
    if own_python:
        # Works without an activated environment, and on nodes that know nothing of it.
        commands.append(f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH")
    quiet = f"grep --line-buffered --invert-match --extended-regexp -- {shlex.quote(CHATTER)}"
    commands.append(f"exec 2> >(exec {quiet} >&2)")
    # The stage replaces the shell, so that Snakemake is its parent and it ends with Snakemake.
    commands.append("exec ")
    # Snakemake formats this text.
    return "; ".join(commands).replace("{", "{{").replace("}", "}}")
