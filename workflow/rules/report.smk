rule report:
    input:
        "<results>/report/index.html",
    message:
        "The report is written"


# Where a ready model is applied, there is nothing to tell of labels and training.
IS_TRAINED = not PLAN.predicts_only


rule write_report:
    input:
        scenes=many(expand("<results>/scenes/{scene}.tif", scene=PLAN.scenes.all)),
        predictions=many(rules.predictions.input),
        vectors=rules.draw_vectors.output,
        network=rules.score_vectors.output if PLAN.scores_vectors else [],
        model=PLAN.files("prediction.model") or "<results>/model/model.keras",
        history=rules.train_model.output.history if IS_TRAINED else [],
        masks=many(rules.masks.input if IS_TRAINED else []),
        selection=rules.summarize_selection.output if IS_TRAINED else [],
        dataset=rules.write_dataset.output.dataset if IS_TRAINED else [],
        split=rules.write_dataset.output.split if IS_TRAINED else [],
        evaluation=rules.evaluate.output.metrics if IS_TRAINED else [],
        tiles=rules.evaluate.output.tiles if IS_TRAINED else [],
        curves=rules.evaluate.output.curves if IS_TRAINED else [],
        changes=rules.find_changes.output.places if IS_COMPARED else [],
        changes_summary=rules.find_changes.output.summary if IS_COMPARED else [],
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
        predicted=PLAN.prediction,
        labelled=["--labelled", *PLAN.training] if IS_TRAINED else [],
        files=given(
            history="history",
            selection="selection",
            dataset="dataset",
            evaluation="evaluation",
            vectors="vectors",
            network="network",
            changes="changes_summary",
        ),
        settings=literal(PLAN.shown_settings()),
        code=PLAN.code("report"),
    message:
        "Writing the report"
    shell:
        "python -m roadmask report {params.results:q} --output {output:q} --model {input.model:q}"
        " --predicted {params.predicted:q} {params.labelled:q} {params.files:q}"
        " {params.settings:q} --log {log:q}"
