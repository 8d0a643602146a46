from roadmask.demo import layout


rule demo:
    input:
        layout.OUTPUTS,
    message:
        "The demo city is there"


rule build_demo:
    output:
        layout.OUTPUTS,
    log:
        "<logs>/demo/demo.log",
    benchmark:
        "<benchmarks>/demo/demo.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(2000),
    params:
        city=options("demo"),
        folder=f"--output={layout.FOLDER}",
        code=PLAN.code("demo"),
    message:
        "Building the demo city"
    shell:
        "python -m roadmask demo {params.folder:q} {params.city:q} --log {log:q}"
