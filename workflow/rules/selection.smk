rule selection:
    input:
        expand("<results>/selection/{scene}.csv", scene=PLAN.training),
        "<results>/selection/summary.json",
    message:
        "All tiles are judged"


rule select_tiles:
    input:
        tiles="<results>/tiles/{scene}.json",
        masks="<results>/masks/tiles/{scene}.json",
        review=PLAN.files("selection.review"),
    output:
        "<results>/selection/{scene}.csv",
    log:
        "<logs>/selection/{scene}.log",
    benchmark:
        "<benchmarks>/selection/{scene}.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000),
    params:
        min_road_share=options("selection.min_road_share"),
        max_road_share=options("selection.max_road_share"),
        empty_share=options("selection.empty_share"),
        max_nodata_share=options("selection.max_nodata_share"),
        max_unknown_share=options("selection.max_unknown_share"),
        classes=options("classes"),
        review=options("selection.review"),
        review_state=PLAN.state("selection.review"),
        code=PLAN.code("selection"),
    message:
        "Judging the tiles of {wildcards.scene}"
    shell:
        "python -m roadmask selection --tiles {input.tiles:q} --masks {input.masks:q}"
        " --output {output:q} {params.min_road_share:q} {params.max_road_share:q}"
        " {params.empty_share:q} {params.max_nodata_share:q} {params.max_unknown_share:q}"
        " {params.classes:q} {params.review:q} --log {log:q}"


rule summarize_selection:
    input:
        tables=expand("<results>/selection/{scene}.csv", scene=PLAN.training),
        review=PLAN.files("selection.review"),
    output:
        "<results>/selection/summary.json",
    log:
        "<logs>/selection/summary.log",
    benchmark:
        "<benchmarks>/selection/summary.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(500),
    params:
        results=literal(PLAN.settings.results),
        scenes=of_scenes(PLAN.training),
        review=options("selection.review"),
        review_state=PLAN.state("selection.review"),
        code=PLAN.code("selection_summary"),
    message:
        "Counting the tiles of all scenes"
    shell:
        "python -m roadmask selection-summary {params.scenes:q}"
        " {params.results:q}/selection/{{scene}}.csv --output {output:q}"
        " {params.review:q} --log {log:q}"
