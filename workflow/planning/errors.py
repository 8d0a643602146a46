"""The one exception of this package, which Snakemake prints without a traceback."""

from __future__ import annotations

from snakemake_interface_common.exceptions import WorkflowError


class PlanningError(WorkflowError):
    """Settings or input files that don't allow a run.

    Parameters
    ----------
    problems
        One sentence for each, with the config key or file in front.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))
