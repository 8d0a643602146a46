rule scenes:
    input:
        expand("<results>/scenes/{scene}.tif", scene=PLAN.scenes.all),
    message:
        "All scenes are there"


rule convert_scene:
    input:
        scene_source,
    output:
        "<results>/scenes/{scene}.tif",
    log:
        "<logs>/scenes/{scene}.log",
    benchmark:
        "<benchmarks>/scenes/{scene}.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(2500),
    params:
        source=lambda wildcards: PLAN.source(wildcards.scene).path,
        state=lambda wildcards: PLAN.source_state(wildcards.scene),
        imagery=options("imagery.georeference", "imagery.crs", "imagery.nodata"),
        code=PLAN.code("scenes"),
    message:
        "Converting {wildcards.scene}"
    shell:
        "python -m roadmask scenes {params.source:q} --output {output:q} {params.imagery:q}"
        " --log {log:q}"
