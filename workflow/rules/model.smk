rule model:
    input:
        "<results>/model/model.keras",
    message:
        "The network is trained"


rule train_model:
    input:
        dataset="<results>/dataset/dataset.json",
        weights=PLAN.files("model.weights"),
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
        network=options(
            "model.architecture",
            "model.backbone",
            "model.output_stride",
            "model.weights",
        ),
        weights_state=PLAN.state("model.weights"),
        training=options("training"),
        code=PLAN.code("model"),
    message:
        "Training the network"
    shell:
        "python -m roadmask model {input.dataset:q} --output {output.model:q} {params.network:q}"
        " {params.training:q} --threads {threads} --log {log:q}"
