rule evaluation:
    input:
        "<results>/evaluation/metrics.json",
        "<results>/evaluation/tiles.csv",
    message:
        "The predictions are scored"


rule evaluate:
    input:
        predictions=expand("<results>/predictions/{scene}.tif", scene=PLAN.training),
        probabilities=expand(
            "<results>/predictions/probability/{scene}.tif", scene=PLAN.training
        ),
        masks=expand("<results>/masks/{scene}.tif", scene=PLAN.training),
        dataset="<results>/dataset/dataset.json",
        split="<results>/dataset/split.gpkg",
        model=PLAN.files("prediction.model") or "<results>/model/model.keras",
        reference=PLAN.layer("labels.reference").files,
        area=PLAN.layer("area").files,
    output:
        metrics="<results>/evaluation/metrics.json",
        tiles="<results>/evaluation/tiles.csv",
        curves="<results>/evaluation/precision_recall.csv",
    log:
        "<logs>/evaluation/evaluation.log",
    benchmark:
        "<benchmarks>/evaluation/evaluation.tsv"
    conda:
        "../../envs/tensorflow.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(2000),
    params:
        results=literal(PLAN.settings.results),
        scenes=of_scenes(PLAN.training),
        reference=literal(PLAN.layer("labels.reference", flag="reference").arguments),
        reference_state=PLAN.layer("labels.reference").fingerprint,
        tolerance=options("evaluation.tolerance"),
        area=literal(PLAN.layer("area").arguments),
        area_state=PLAN.layer("area").fingerprint,
        code=PLAN.code("evaluation"),
    message:
        "Scoring the predictions on the test ground"
    shell:
        "python -m roadmask evaluation {params.scenes:q}"
        " --predictions {params.results:q}/predictions/{{scene}}.tif"
        " --probabilities {params.results:q}/predictions/probability/{{scene}}.tif"
        " --masks {params.results:q}/masks/{{scene}}.tif"
        " --dataset {input.dataset:q} --split {input.split:q} --model {input.model:q}"
        " --output {output.metrics:q} {params.tolerance:q} {params.reference:q} {params.area:q} --log {log:q}"
