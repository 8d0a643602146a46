rule label_scene:
    input:
        unpack(label_inputs),
    output:
        **(
            {"pieces": "<results>/masks/{scene}_pieces.gpkg"}
            if PLAN.labels_from_regions
            else {}
        ),
        mask="<results>/masks/{scene}.tif",
        style="<results>/masks/{scene}.qml",
        names="<results>/masks/{scene}.tif.aux.xml",
        counts="<results>/masks/{scene}.json",
    log:
        "<logs>/masks/{scene}.log",
    benchmark:
        "<benchmarks>/masks/{scene}.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(2500),
    params:
        purpose=literal([]),
        labels=literal(PLAN.label_options()),
        lines=given(lines="lines", vectors="vectors"),
        pieces=written(pieces="pieces"),
        raster=label_raster_options,
        raster_state=label_raster_state,
        polygons=literal(PLAN.label_layer("labels.polygons").arguments),
        polygons_state=PLAN.label_layer("labels.polygons").fingerprint,
        islands=literal(PLAN.label_layer("labels.islands").arguments),
        islands_state=PLAN.label_layer("labels.islands").fingerprint,
        area=literal(PLAN.layer("area").arguments),
        area_state=PLAN.layer("area").fingerprint,
        code=PLAN.code("masks"),
    message:
        "Labelling {wildcards.scene}"
    shell:
        "python -m roadmask masks {input.scene:q} --output {output.mask:q} {params.labels:q}"
        " {params.lines:q} {params.pieces:q} {params.raster:q} {params.polygons:q} {params.islands:q}"
        " {params.area:q} {params.purpose:q} --log {log:q}"


rule cut_masks:
    input:
        raster="<results>/masks/{scene}.tif",
        tiles="<results>/tiles/{scene}.json",
        made=whole("{results}/masks/tiles/{scene}.json"),
    output:
        "<results>/masks/tiles/{scene}.json",
    log:
        "<logs>/masks/tiles/{scene}.log",
    benchmark:
        "<benchmarks>/masks/tiles/{scene}.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000),
    params:
        code=PLAN.code("cut"),
    message:
        "Cutting the mask of {wildcards.scene} into tiles"
    shell:
        "python -m roadmask cut {input.raster:q} --manifest {input.tiles:q} --output {output:q}"
        " --log {log:q}"


rule mosaic_masks:
    input:
        expand("<results>/masks/{scene}.tif", scene=PLAN.training),
        whole("{results}/mosaics/masks.json"),
    output:
        "<results>/mosaics/masks.json",
    log:
        "<logs>/masks/mosaic.log",
    benchmark:
        "<benchmarks>/masks/mosaic.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000),
    params:
        results=literal(PLAN.settings.results),
        scenes=of_scenes(PLAN.training),
        vrt=f"--output={PLAN.settings.results}/masks.vrt",
        code=PLAN.code("mosaic"),
    message:
        "Joining all masks in one layer"
    shell:
        "python -m roadmask mosaic {params.scenes:q} {params.results:q}/masks/{{scene}}.tif"
        " {params.vrt:q} --log {log:q}"


rule masks:
    input:
        expand(
            [*rules.label_scene.output, *rules.cut_masks.output], scene=PLAN.training
        ),
        []
        if PLAN.settings.in_pixels or not PLAN.training
        else rules.mosaic_masks.output,
    message:
        "All masks are made"
