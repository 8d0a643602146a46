# The squares of a checkerboard that the network of each name learns from.
HALVES = ("even", "odd")


# What the tables are made from is named too: it would not be missed otherwise.
rule selection:
    input:
        expand("<results>/selection/looks/{half}.onnx", half=HALVES),
        expand(
            [
                "<results>/selection/looks/{scene}.tif",
                "<results>/selection/measures/{scene}.csv",
                "<results>/selection/offsets/{scene}.json",
                "<results>/selection/verdicts/{scene}.csv",
                "<results>/selection/{scene}.csv",
            ],
            scene=PLAN.training,
        ),
        "<results>/selection/offsets.json",
        "<results>/selection/summary.json",
        "<results>/selection/review.html",
    message:
        "All tiles are judged"


# Two networks on one thread each: what every tile is judged by must not depend on the machine's
# processors.
rule learn_looks:
    input:
        scenes=expand("<results>/scenes/{scene}.tif", scene=PLAN.teaching),
        masks=expand("<results>/masks/{scene}.tif", scene=PLAN.teaching),
    output:
        "<results>/selection/looks/{half}.onnx",
    log:
        "<logs>/selection/looks/networks/{half}.log",
    benchmark:
        "<benchmarks>/selection/looks/networks/{half}.tsv"
    wildcard_constraints:
        half="|".join(HALVES),
    conda:
        "../../envs/tensorflow.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(2000),
    params:
        bands=options("imagery.bands"),
        scale=options("imagery.scale"),
        code=PLAN.code("looks.learning"),
    message:
        "Learning how road looks, {wildcards.half} squares"
    shell:
        "python -m roadmask learn-looks {input.scenes:q} --masks {input.masks:q}"
        " --half {wildcards.half:q} {params.bands:q} {params.scale:q} --output {output:q}"
        " --log {log:q}"


rule see_looks:
    input:
        scene="<results>/scenes/{scene}.tif",
        networks=expand(rules.learn_looks.output, half=HALVES),
    output:
        "<results>/selection/looks/{scene}.tif",
    log:
        "<logs>/selection/looks/{scene}.log",
    benchmark:
        "<benchmarks>/selection/looks/{scene}.tsv"
    conda:
        "../../envs/tensorflow.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1500),
    params:
        bands=options("imagery.bands"),
        scale=options("imagery.scale"),
        code=PLAN.code("looks.seeing"),
    message:
        "Telling how much like road {wildcards.scene} looks"
    shell:
        "python -m roadmask see-looks {input.scene:q} --networks {input.networks:q}"
        " {params.bands:q} {params.scale:q} --output {output:q} --log {log:q}"


rule measure_tiles:
    input:
        unpack(measured_inputs),
    output:
        table="<results>/selection/measures/{scene}.csv",
        offset="<results>/selection/offsets/{scene}.json",
    log:
        "<logs>/selection/measures/{scene}.log",
    benchmark:
        "<benchmarks>/selection/measures/{scene}.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1500),
    params:
        lines=given(lines="lines", vectors="vectors", pieces="pieces"),
        code=PLAN.code("quality.command"),
    message:
        "Measuring the tiles of {wildcards.scene}"
    shell:
        "python -m roadmask measure {input.scene:q} --mask {input.mask:q} --tiles {input.tiles:q}"
        " --masks {input.masks:q} --looks {input.looks:q} {params.lines:q} --output {output.table:q}"
        " --offset {output.offset:q} --log {log:q}"


rule select_tiles:
    input:
        measures="<results>/selection/measures/{scene}.csv",
        review=PLAN.files("selection.review"),
    output:
        "<results>/selection/verdicts/{scene}.csv",
    log:
        "<logs>/selection/{scene}.log",
    benchmark:
        "<benchmarks>/selection/{scene}.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(500),
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
        "python -m roadmask selection {input.measures:q} --output {output:q}"
        " {params.min_road_share:q} {params.max_road_share:q} {params.empty_share:q}"
        " {params.max_nodata_share:q} {params.max_unknown_share:q} {params.classes:q}"
        " {params.review:q} --log {log:q}"


# Apart from the verdicts, which the data set is made from: an answer to score against bears on
# no training.
rule score_tiles:
    input:
        verdicts="<results>/selection/verdicts/{scene}.csv",
        mask="<results>/masks/{scene}.tif",
        tiles="<results>/tiles/{scene}.json",
        reference=PLAN.label_answer.files,
        area=PLAN.layer("area").files if PLAN.label_answer.files else [],
    output:
        "<results>/selection/{scene}.csv",
    log:
        "<logs>/selection/scores/{scene}.log",
    benchmark:
        "<benchmarks>/selection/scores/{scene}.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(800),
    params:
        classes=options("classes"),
        reference=literal(PLAN.label_answer.arguments),
        reference_state=PLAN.label_answer.fingerprint,
        area=literal(PLAN.layer("area").arguments),
        area_state=PLAN.layer("area").fingerprint,
        code=PLAN.code("quality.reference"),
    message:
        "Scoring the tiles of {wildcards.scene}"
    shell:
        "python -m roadmask score {input.verdicts:q} --mask {input.mask:q}"
        " --manifest {input.tiles:q} --output {output:q} {params.classes:q}"
        " {params.reference:q} {params.area:q} --log {log:q}"


rule check_offsets:
    input:
        expand("<results>/selection/offsets/{scene}.json", scene=PLAN.training),
    output:
        "<results>/selection/offsets.json",
    log:
        "<logs>/selection/offsets.log",
    benchmark:
        "<benchmarks>/selection/offsets.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(300),
    params:
        results=literal(PLAN.settings.results),
        scenes=of_scenes(PLAN.training),
        max_shift=options("labels.max_shift"),
        on_shift=options("labels.on_shift"),
        code=PLAN.code("quality.offsets"),
    message:
        "Looking at where the labels of all scenes lie"
    shell:
        "python -m roadmask offsets {params.scenes:q}"
        " {params.results:q}/selection/offsets/{{scene}}.json --output {output:q}"
        " {params.max_shift:q} {params.on_shift:q} --log {log:q}"


rule summarize_selection:
    input:
        tables=expand("<results>/selection/{scene}.csv", scene=PLAN.training),
        offsets="<results>/selection/offsets.json",
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
        " {params.results:q}/selection/{{scene}}.csv"
        " --offsets {input.offsets:q} --output {output:q} {params.review:q} --log {log:q}"


rule write_review:
    input:
        tables=expand("<results>/selection/{scene}.csv", scene=PLAN.training),
        tiles=expand("<results>/tiles/{scene}.json", scene=PLAN.training),
        masks=expand("<results>/masks/tiles/{scene}.json", scene=PLAN.training),
        review=PLAN.files("selection.review"),
    output:
        "<results>/selection/review.html",
    log:
        "<logs>/selection/review.log",
    benchmark:
        "<benchmarks>/selection/review.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(800),
    params:
        results=literal(PLAN.settings.results),
        scenes=of_scenes(PLAN.training),
        review_tiles=options("selection.review_tiles"),
        review=options("selection.review"),
        review_state=PLAN.state("selection.review"),
        code=PLAN.code("review"),
    message:
        "Showing the doubtful tiles"
    shell:
        "python -m roadmask review {params.scenes:q}"
        " {params.results:q}/selection/{{scene}}.csv"
        " --tiles {params.results:q}/tiles/{{scene}}.json"
        " --masks {params.results:q}/masks/tiles/{{scene}}.json --output {output:q}"
        " {params.review_tiles:q} {params.review:q} --log {log:q}"
