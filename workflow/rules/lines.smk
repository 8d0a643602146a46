rule draw_lines:
    input:
        scene="<results>/scenes/{scene}.tif",
        street_lines=PLAN.layer("street_lines").files,
        centerlines=PLAN.layer("centerlines").files,
    output:
        raster="<results>/lines/{scene}.tif",
        vectors="<results>/lines/{scene}.gpkg",
        counts="<results>/lines/{scene}.json",
    log:
        "<logs>/lines/{scene}.log",
    benchmark:
        "<benchmarks>/lines/{scene}.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1500),
    params:
        purpose=literal([]),
        halo=options("lines.halo"),
        shift=options("labels.shift"),
        street_lines=literal(PLAN.layer("street_lines").arguments),
        street_lines_state=PLAN.layer("street_lines").fingerprint,
        centerlines=literal(PLAN.layer("centerlines").arguments),
        centerlines_state=PLAN.layer("centerlines").fingerprint,
        code=PLAN.code("lines"),
    message:
        "Drawing the lines of {wildcards.scene}"
    shell:
        "python -m roadmask lines {input.scene:q} --output {output.raster:q}"
        " --vectors {output.vectors:q} {params.halo:q} {params.shift:q} {params.street_lines:q}"
        " {params.centerlines:q} {params.purpose:q} --log {log:q}"


rule cut_lines:
    input:
        raster="<results>/lines/{scene}.tif",
        tiles="<results>/tiles/{scene}.json",
        made=whole("{results}/lines/tiles/{scene}.json"),
    output:
        "<results>/lines/tiles/{scene}.json",
    log:
        "<logs>/lines/tiles/{scene}.log",
    benchmark:
        "<benchmarks>/lines/tiles/{scene}.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000),
    params:
        code=PLAN.code("cut"),
    message:
        "Cutting the lines of {wildcards.scene} into tiles"
    shell:
        "python -m roadmask cut {input.raster:q} --manifest {input.tiles:q} --output {output:q}"
        " --log {log:q}"


rule lines:
    input:
        expand(
            [*rules.draw_lines.output, *rules.cut_lines.output],
            scene=PLAN.training if PLAN.draws_lines else [],
        ),
    message:
        "All lines are drawn"
