rule train_model:
    input:
        dataset="<results>/dataset/dataset.json",
        weights=PLAN.files("model.weights"),
    output:
        model="<results>/model/model.keras",
        card="<results>/model/model.json",
        text="<results>/model/card.md",
        samples="<results>/model/augmentation.png",
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


# A rule of its own: another format must not train again.
rule export_model:
    input:
        model="<results>/model/model.keras",
        dataset="<results>/dataset/dataset.json",
    output:
        "<results>/model/exports.json",
    log:
        "<logs>/model/exports.log",
    benchmark:
        "<benchmarks>/model/exports.tsv"
    conda:
        "../../envs/tensorflow.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(3000),
    params:
        formats=options("model.export"),
        layers=options("model.activations"),
        code=PLAN.code("model.exports"),
    message:
        "Writing the network in other formats"
    shell:
        "python -m roadmask exports {input.model:q} --dataset {input.dataset:q}"
        " --output {output:q} {params.formats:q} {params.layers:q}"
        " --threads {threads} --log {log:q}"


rule model:
    input:
        rules.train_model.output,
        rules.export_model.output if PLAN.exports_model else [],
    message:
        "The network is trained"
