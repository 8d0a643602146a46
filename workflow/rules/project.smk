rule mosaic_scenes:
    input:
        expand("<results>/scenes/{scene}.tif", scene=PLAN.scenes.all),
        whole("{results}/mosaics/scenes.json"),
    output:
        "<results>/mosaics/scenes.json",
    log:
        "<logs>/project/scenes.log",
    benchmark:
        "<benchmarks>/project/scenes.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000),
    params:
        results=literal(PLAN.settings.results),
        scenes=of_scenes(PLAN.scenes.all),
        vrt=f"--output={PLAN.settings.results}/scenes.vrt",
        code=PLAN.code("mosaic"),
    message:
        "Joining all pictures in one layer"
    shell:
        "python -m roadmask mosaic {params.scenes:q} {params.results:q}/scenes/{{scene}}.tif"
        " {params.vrt:q} --apart --log {log:q}"


rule mosaic_probability:
    input:
        expand("<results>/predictions/probability/{scene}.tif", scene=PLAN.prediction),
        whole("{results}/mosaics/probability.json"),
    output:
        "<results>/mosaics/probability.json",
    log:
        "<logs>/project/probability.log",
    benchmark:
        "<benchmarks>/project/probability.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000),
    params:
        results=literal(PLAN.settings.results),
        scenes=of_scenes(PLAN.prediction),
        vrt=f"--output={PLAN.settings.results}/probability.vrt",
        code=PLAN.code("mosaic"),
    message:
        "Joining all probabilities in one layer"
    shell:
        "python -m roadmask mosaic {params.scenes:q}"
        " {params.results:q}/predictions/probability/{{scene}}.tif {params.vrt:q} --log {log:q}"


rule mosaic_looks:
    input:
        expand("<results>/selection/looks/{scene}.tif", scene=PLAN.training),
        whole("{results}/mosaics/looks.json"),
    output:
        "<results>/mosaics/looks.json",
    log:
        "<logs>/project/looks.log",
    benchmark:
        "<benchmarks>/project/looks.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000),
    params:
        results=literal(PLAN.settings.results),
        scenes=of_scenes(PLAN.training),
        vrt=f"--output={PLAN.settings.results}/looks.vrt",
        code=PLAN.code("mosaic"),
    message:
        "Joining the looks of all scenes in one layer"
    shell:
        "python -m roadmask mosaic {params.scenes:q}"
        " {params.results:q}/selection/looks/{{scene}}.tif {params.vrt:q} --log {log:q}"


rule join_pieces:
    input:
        expand("<results>/masks/{scene}_pieces.gpkg", scene=PLAN.training),
    output:
        "<results>/pieces.gpkg",
    log:
        "<logs>/project/pieces.log",
    benchmark:
        "<benchmarks>/project/pieces.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1500),
    params:
        results=literal(PLAN.settings.results),
        scenes=of_scenes(PLAN.training),
        code=PLAN.code("project.pieces"),
    message:
        "Joining the pieces of all scenes"
    shell:
        "python -m roadmask join-pieces {params.scenes:q}"
        " {params.results:q}/masks/{{scene}}_pieces.gpkg --output {output:q} --log {log:q}"


rule write_project:
    input:
        pictures=rules.mosaic_scenes.output,
        predictions=rules.mosaic_predictions.output,
        probability=rules.mosaic_probability.output,
        vectors=rules.draw_vectors.output,
        masks=rules.mosaic_masks.output if not PLAN.predicts_only else [],
        looks=rules.mosaic_looks.output if not PLAN.predicts_only else [],
        split=rules.write_dataset.output.split if not PLAN.predicts_only else [],
        pieces=(
            rules.join_pieces.output
            if not PLAN.predicts_only and PLAN.labels_from_regions
            else []
        ),
        changes=rules.find_changes.output.places if IS_COMPARED else [],
    output:
        "<results>/roads.qgz",
    log:
        "<logs>/project/project.log",
    benchmark:
        "<benchmarks>/project/project.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000),
    params:
        files=given(
            pictures="pictures",
            masks="masks",
            looks="looks",
            predictions="predictions",
            probability="probability",
            vectors="vectors",
            pieces="pieces",
            split="split",
            changes="changes",
        ),
        code=PLAN.code("project"),
    message:
        "Writing the QGIS project"
    shell:
        "python -m roadmask project {params.files:q} --output {output:q} --log {log:q}"


# Pictures that lie nowhere make no map. Inputs are named too: what is joined for the project alone
# would not be missed otherwise.
rule project:
    input:
        (
            []
            if PLAN.settings.in_pixels
            else [*rules.write_project.input, *rules.write_project.output]
        ),
    message:
        "The QGIS project is written"
