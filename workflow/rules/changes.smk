rule changes:
    input:
        "<results>/changes/changes.gpkg",
        "<results>/changes/changes.csv",
        "<results>/changes/summary.json",
    message:
        "The changes are found"


# Where a ready model is applied there is no map; the stage then says so.
COMPARED = [] if PLAN.predicts_only else PLAN.training
COMPARED_FILES = {
    "masks": "masks/{scene}.tif",
    "probabilities": "predictions/probability/{scene}.tif",
    **({"vectors": "lines/{scene}.gpkg"} if PLAN.draws_lines else {}),
    **({"pieces": "masks/{scene}_pieces.gpkg"} if PLAN.labels_from_regions else {}),
}


rule find_changes:
    input:
        **{
            name: expand(f"<results>/{path}", scene=COMPARED)
            for name, path in COMPARED_FILES.items()
        },
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
        files=literal(
            [
                f"--scenes={'/'.join(COMPARED)}",
                *(
                    text
                    for name, path in COMPARED_FILES.items()
                    for text in (f"--{name}", f"{PLAN.settings.results}/{path}")
                ),
            ]
            if COMPARED
            else []
        ),
        limits=options("changes"),
        code=PLAN.code("changes"),
    message:
        "Looking for places where map and picture disagree"
    shell:
        "python -m roadmask changes {params.files:q} {params.limits:q} --output {output.places:q}"
        " --log {log:q}"
