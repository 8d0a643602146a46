"""What several rule files share. The logic is in workflow/planning."""

from planning.completeness import Gaps
from planning.errors import PlanningError
from planning.machine import memory_mb, processors
from planning.plan import sheets_beside
from planning.shell import job_prefix
from snakemake.settings.types import DeploymentMethod

IS_LOCAL = workflow.nodes is None
GAPS = Gaps(logger.info)

if IS_LOCAL and not {"mem", "mem_mb", "mem_mib"} & set(
    workflow.resource_settings.resources
):
    # As many jobs at once as fit into this machine, whatever --cores says.
    workflow.register_resource("mem_mb", memory_mb())

shell.prefix(
    job_prefix(
        Path(workflow.basedir, "workflow"),
        own_python=not workflow.deployment_settings.deployment_method
        & {DeploymentMethod.CONDA, DeploymentMethod.APPTAINER},
    )
)


wildcard_constraints:
    scene=r"[^/]+",


def cpus(wanted):
    """Return how many threads a job gets: no more than this machine has, where it runs here."""
    return min(wanted, processors()) if IS_LOCAL else wanted


def literal(value):
    """Return a param as it is: Snakemake would look for wildcards in a filter's braces."""
    return lambda wildcards: value


def many(files):
    """Return a long list of inputs beside others that are given as rules' outputs.

    Of a list, Snakemake hashes all files for each of them: minutes for thousands of sheets.
    """
    return lambda wildcards: list(files)


def options(*names):
    """Return config leaves as a param that is both the arguments and the reason of a rerun."""
    return literal(PLAN.options(*names))


def of_scenes(names):
    """Return the option that makes {scene} in a command's paths stand for all of these."""
    return literal(f"--scenes={'/'.join(names)}")


def megabytes(wanted):
    """Return a job's memory, which grows with every attempt."""
    return lambda wildcards, attempt: wanted * attempt


def whole(manifest):
    """Return an input that adds no file, but has the job run when what its manifest lists is gone."""

    def nothing(wildcards):
        path = manifest.format(results=PLAN.settings.results, **wildcards)
        # A spawned job was told what to make.
        if workflow.is_main_process and GAPS.in_manifest(path):
            # What Snakemake does with incomplete files; --forcerun would make a target of it too.
            workflow.dag.forcefiles.add(path)
        return []

    return nothing


def beside(batch):
    """Return the scenes that a batch's windows see beyond the borders of its own."""

    def neighbours(wildcards):
        return expand("<results>/scenes/{scene}.tif", scene=names_beside(batch))

    return neighbours


def names_beside(batch):
    """Return the names of these scenes, once it is known where sheets lie."""
    group = getattr(checkpoints, f"find_neighbours_{PLAN.group_of(batch)}")
    return sheets_beside(group.get().output[0], batch)


def flights_beside(batch):
    """Return the files of the other flights that the scenes beside a batch's belong to."""

    def flights(wildcards):
        own = PLAN.flight_files(batch)
        if len(own) == len(PLAN.flights):
            return []
        return [
            path for path in PLAN.flight_files(names_beside(batch)) if path not in own
        ]

    return flights


def as_options(flags, files):
    """Return the files that there are as arguments, by {flag: name of the file}."""
    named = ((flag, files.get(name)) for flag, name in flags.items())
    return [part for flag, path in named if path for part in (f"--{flag}", path)]


def given(**flags):
    """Return optional inputs as arguments: {flag: name of the input}."""
    return lambda wildcards, input: as_options(flags, input)


def written(**flags):
    """Return optional outputs as arguments: {flag: name of the output}."""
    return lambda wildcards, output: as_options(flags, output)


def scene_source(wildcards):
    """Return the picture of a scene and the files beside it."""
    if wildcards.scene not in PLAN.scenes.all:
        raise PlanningError(f"There is no scene {wildcards.scene!r} in imagery.paths.")
    return list(PLAN.source(wildcards.scene).files)


def label_inputs(wildcards, lines="lines"):
    """Return what the chosen way of labelling makes a scene's mask from: lines in some folder."""
    PLAN.require_label_sources()
    inputs = {
        "scene": "<results>/scenes/{scene}.tif",
        "polygons": list(PLAN.label_layer("labels.polygons").files),
        "islands": list(PLAN.label_layer("labels.islands").files),
        "area": list(PLAN.layer("area").files),
    }
    if PLAN.labels_from_lines:
        inputs["lines"] = f"<results>/{lines}/{{scene}}.tif"
        inputs["vectors"] = f"<results>/{lines}/{{scene}}.gpkg"
    source = PLAN.label_source(wildcards.scene)
    if source is not None:
        inputs["raster"] = list(source.files)
    return inputs


def map_inputs(wildcards):
    """Return what a label that serves the comparison alone is made from."""
    return label_inputs(wildcards, lines="changes/map/lines")


def measured_inputs(wildcards):
    """Return what is known of a scene's label: picture, looks, mask, and what it was made from."""
    inputs = {
        "scene": "<results>/scenes/{scene}.tif",
        "mask": "<results>/masks/{scene}.tif",
        "tiles": "<results>/tiles/{scene}.json",
        "masks": "<results>/masks/tiles/{scene}.json",
        "looks": "<results>/selection/looks/{scene}.tif",
    }
    if PLAN.labels_from_lines:
        inputs["lines"] = "<results>/lines/{scene}.tif"
        inputs["vectors"] = "<results>/lines/{scene}.gpkg"
    pieces = rules.label_scene.output.get("pieces")
    if pieces:
        inputs["pieces"] = pieces
    return inputs


def label_raster_options(wildcards):
    """Return the ready mask of a scene as an argument."""
    source = PLAN.label_source(wildcards.scene)
    return [f"--labels.raster={source.path}"] if source else []


def label_raster_state(wildcards):
    """Return the fingerprint of a scene's ready mask."""
    source = PLAN.label_source(wildcards.scene)
    return source.fingerprint if source else ""


def default_targets(wildcards):
    """Return what a run without a target makes."""
    if PLAN.predicts_only:
        return [
            *rules.predictions.input,
            *rules.vectors.input,
            *(rules.changes.input if IS_COMPARED else []),
            *rules.project.input,
            *rules.report.input,
        ]
    return [
        *(rules.demo.input if PLAN.settings.is_demo else []),
        *rules.scenes.input,
        *rules.tiles.input,
        *rules.lines.input,
        *rules.masks.input,
        *rules.selection.input,
        *rules.dataset.input,
        *rules.model.input,
        *rules.predictions.input,
        *rules.vectors.input,
        *rules.changes.input,
        *rules.evaluation.input,
        *rules.project.input,
        *rules.report.input,
    ]
