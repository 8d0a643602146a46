rule model:
    input:
        "<results>/model/model.keras",
        "<results>/model/model.json",
        "<results>/model/history.csv",
    message:
        "The network is trained"


rule train_model:
    input:
        "<results>/dataset/dataset.json",
    output:
        model="<results>/model/model.keras",
        card="<results>/model/model.json",
        history="<results>/model/history.csv",
    log:
        "<logs>/model/model.log",
    benchmark:
        "<benchmarks>/model/model.tsv"
    conda:
        "../../envs/tensorflow.yaml"
    threads: cpus(16)
    resources:
        mem_mb=megabytes(4000),
    params:
        architecture=options("model.architecture"),
        training=options("training"),
        code=PLAN.code("model"),
    message:
        "Training the network"
    shell:
        "python -m roadmask model {input:q} --output {output.model:q} {params.architecture:q}"
        " {params.training:q} --threads {threads} --log {log:q}"
