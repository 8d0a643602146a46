rule report:
    input:
        "<results>/report/index.html",
    message:
        "The report is written"


rule write_report:
    input:
        rules.scenes.input,
        rules.tiles.input,
        rules.lines.input,
        rules.masks.input,
        rules.selection.input,
        rules.dataset.input,
        rules.train_model.output,
        rules.predictions.input,
        rules.evaluate.output,
    output:
        "<results>/report/index.html",
    log:
        "<logs>/report/report.log",
    benchmark:
        "<benchmarks>/report/report.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1500),
    params:
        results=f"--results={PLAN.settings.results}",
        code=PLAN.code("report"),
    message:
        "Writing the report"
    shell:
        "python -m roadmask report {params.results:q} --output {output:q} --log {log:q}"
