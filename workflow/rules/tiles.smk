rule tiles:
    input:
        expand("<results>/tiles/{scene}.json", scene=PLAN.training),
    message:
        "All tiles are cut"


rule cut_scene:
    input:
        scene="<results>/scenes/{scene}.tif",
        area=PLAN.layer("area").files,
        made=whole("{results}/tiles/{scene}.json"),
    output:
        "<results>/tiles/{scene}.json",
    log:
        "<logs>/tiles/{scene}.log",
    benchmark:
        "<benchmarks>/tiles/{scene}.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000),
    params:
        size=options("tiles.size"),
        overlap=options("tiles.overlap"),
        bands=options("imagery.bands"),
        scale=options("imagery.scale"),
        area=literal(PLAN.layer("area").arguments),
        area_state=PLAN.layer("area").fingerprint,
        code=PLAN.code("tiles"),
    message:
        "Cutting {wildcards.scene} into tiles"
    shell:
        "python -m roadmask tiles {input.scene:q} --output {output:q} {params.size:q}"
        " {params.overlap:q} {params.bands:q} {params.scale:q} {params.area:q} --log {log:q}"
