# Scenes that nothing is trained on have lines and labels of their own: whatever flight comes or
# goes, no file that training reads is touched, and where the map ends no job fails.
use rule draw_lines as draw_map with:
    output:
        raster="<results>/changes/map/lines/{scene}.tif",
        vectors="<results>/changes/map/lines/{scene}.gpkg",
        counts="<results>/changes/map/lines/{scene}.json",
    log:
        "<logs>/changes/map/lines/{scene}.log",
    benchmark:
        "<benchmarks>/changes/map/lines/{scene}.tsv"
    params:
        purpose=literal(["--for-comparison"]),
    message:
        "Drawing the map around {wildcards.scene}"


use rule label_scene as label_map with:
    input:
        unpack(map_inputs),
    output:
        **(
            {"pieces": "<results>/changes/map/{scene}_pieces.gpkg"}
            if PLAN.labels_from_regions
            else {}
        ),
        mask="<results>/changes/map/{scene}.tif",
        style="<results>/changes/map/{scene}.qml",
        names="<results>/changes/map/{scene}.tif.aux.xml",
        counts="<results>/changes/map/{scene}.json",
    log:
        "<logs>/changes/map/{scene}.log",
    benchmark:
        "<benchmarks>/changes/map/{scene}.tsv"
    params:
        purpose=literal(["--for-comparison"]),
    message:
        "Labelling {wildcards.scene} by the map"


COMPARED = PLAN.comparison
# Where a ready model is applied and there is no map, the stage runs when it is asked for, and says so.
IS_COMPARED = bool(COMPARED.scenes) or not PLAN.predicts_only


# By option: where the files lie for scenes whose label is trained on, and for the others.
COMPARED_FILES = {
    "masks": ("<results>/masks/{scene}.tif", "<results>/changes/map/{scene}.tif"),
    "probabilities": ("<results>/predictions/probability/{scene}.tif",) * 2,
    "predictions": ("<results>/predictions/{scene}.tif",) * 2,
    **(
        {
            "vectors": (
                "<results>/lines/{scene}.gpkg",
                "<results>/changes/map/lines/{scene}.gpkg",
            )
        }
        if PLAN.draws_lines
        else {}
    ),
    **(
        {
            "pieces": (
                "<results>/masks/{scene}_pieces.gpkg",
                "<results>/changes/map/{scene}_pieces.gpkg",
            )
        }
        if PLAN.labels_from_regions
        else {}
    ),
}


rule find_changes:
    input:
        **{name: many(COMPARED.files(*paths)) for name, paths in COMPARED_FILES.items()},
    output:
        places="<results>/changes/changes.gpkg",
        table="<results>/changes/changes.csv",
        summary="<results>/changes/summary.json",
    log:
        "<logs>/changes/changes.log",
    benchmark:
        "<benchmarks>/changes/changes.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(2500),
    params:
        files=literal(COMPARED.arguments(COMPARED_FILES, PLAN.settings.results)),
        limits=options("changes"),
        code=PLAN.code("changes"),
    message:
        "Looking for places where map and picture disagree"
    shell:
        "python -m roadmask changes {params.files:q} {params.limits:q} --output {output.places:q}"
        " --log {log:q}"


# What only people look at is named too: it would not be missed otherwise.
rule changes:
    input:
        rules.find_changes.output,
        expand(
            [
                *(rules.draw_map.output if PLAN.draws_lines else []),
                *rules.label_map.output,
            ],
            scene=COMPARED.mapped,
        ),
    message:
        "The changes are found"
