import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")

sys.path.insert(0, f"{workflow.basedir}/workflow")
# Nothing is written beside the code.
sys.dont_write_bytecode = True

from planning.console import shorten
from planning.locking import plan_alone
from planning.plan import Plan, summary
from planning.checks import load


configfile: f"{workflow.basedir}/config.yaml"


logger.addFilter(shorten)
PLAN = Plan(load(config), Path(workflow.basedir, "workflow"))
PLAN.require_label_rasters()
PLAN.require_bands_of_network()
if workflow.is_main_process:
    # Spawned jobs of what was planned read these themselves.
    PLAN.require_layers()
plan_alone(workflow, Path(PLAN.settings.results), logger.warning)
for remark in PLAN.remarks:
    logger.warning(remark)


pathvars:
    results=PLAN.settings.results,
    logs=f"{PLAN.settings.results}/logs",
    benchmarks=f"{PLAN.settings.results}/benchmarks",


include: "workflow/rules/common.smk"


rule all:
    input:
        default_targets,
    message:
        "Everything is made"


include: "workflow/rules/demo.smk"
include: "workflow/rules/scenes.smk"
include: "workflow/rules/tiles.smk"
include: "workflow/rules/tone.smk"
include: "workflow/rules/lines.smk"
include: "workflow/rules/masks.smk"
include: "workflow/rules/selection.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/model.smk"
include: "workflow/rules/predictions.smk"
include: "workflow/rules/vectors.smk"
include: "workflow/rules/changes.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/project.smk"
include: "workflow/rules/report.smk"


onsuccess:
    for line in summary(Path(PLAN.settings.results)):
        logger.info(line)


onerror:
    logger.error(
        f"Not everything was made. The jobs' logs are in {PLAN.settings.results}/logs; "
        "after the cause is gone, the same command goes on from here."
    )
