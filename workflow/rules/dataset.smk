rule dataset:
    input:
        "<results>/dataset/dataset.json",
        "<results>/dataset/split.gpkg",
        "<results>/dataset/tiles.csv",
    message:
        "The data set is written"


rule write_dataset:
    input:
        made=whole("{results}/dataset/dataset.json"),
        tiles=expand("<results>/tiles/{scene}.json", scene=PLAN.training),
        masks=expand("<results>/masks/tiles/{scene}.json", scene=PLAN.training),
        selection=expand(
            "<results>/selection/verdicts/{scene}.csv", scene=PLAN.training
        ),
        tones=expand("<results>/tone/{scene}.json", scene=PLAN.training),
        # Refuses sheets whose labels lie off their pictures before anything is trained on them. As a
        # warning it must not be waited for, nor make the data set anew.
        offsets=(
            "<results>/selection/offsets.json"
            if PLAN.settings.labels.on_shift == "error"
            else []
        ),
    output:
        dataset="<results>/dataset/dataset.json",
        split="<results>/dataset/split.gpkg",
        tiles="<results>/dataset/tiles.csv",
    log:
        "<logs>/dataset/dataset.log",
    benchmark:
        "<benchmarks>/dataset/dataset.tsv"
    conda:
        "../../envs/tensorflow.yaml"
    threads: cpus(8)
    resources:
        mem_mb=megabytes(3000),
    params:
        results=literal(PLAN.settings.results),
        scenes=of_scenes(PLAN.training),
        train=options("split.train"),
        val=options("split.val"),
        test=options("split.test"),
        block=options("split.block"),
        seed=options("split.seed"),
        classes=options("classes"),
        code=PLAN.code("dataset"),
    message:
        "Writing the data set"
    shell:
        "python -m roadmask dataset {params.scenes:q} --tiles {params.results:q}/tiles/{{scene}}.json"
        " --masks {params.results:q}/masks/tiles/{{scene}}.json"
        " --selection {params.results:q}/selection/verdicts/{{scene}}.csv"
        " --tones {params.results:q}/tone/{{scene}}.json --output {output.dataset:q} {params.train:q}"
        " {params.val:q} {params.test:q} {params.block:q} {params.seed:q} {params.classes:q}"
        " --threads {threads} --log {log:q}"
