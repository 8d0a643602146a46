# Where sheets lie is known only once they are scenes, so who has which neighbours is found out
# in the run: a sheet waits for its own neighbours, and is made again when one of them changes.
for group, sheets in PLAN.sheet_groups.items():

    checkpoint:
        name:
            f"find_neighbours_{group}"
        input:
            expand("<results>/scenes/{scene}.tif", scene=sheets),
        output:
            f"<results>/neighbours/{group}.json",
        log:
            f"<logs>/neighbours/{group}.log",
        benchmark:
            f"<benchmarks>/neighbours/{group}.tsv"
        conda:
            "../../envs/geo.yaml"
        threads: 1
        resources:
            mem_mb=megabytes(1000),
        params:
            results=literal(PLAN.settings.results),
            scenes=of_scenes(sheets),
            windows=options("prediction.window", "prediction.resample"),
            code=PLAN.code("predictions.neighbours"),
        message:
            f"Finding the neighbours of {len(sheets)} sheets"
        shell:
            "python -m roadmask neighbours {params.scenes:q} {params.results:q}/scenes/{{scene}}.tif"
            " {params.windows:q} --output {output:q} --log {log:q}"


# A rule for each batch, since outputs with wildcards can't be a list of files.
for name, batch in PLAN.batches.items():

    rule:
        name:
            f"predict_{name}"
        input:
            scenes=expand("<results>/scenes/{scene}.tif", scene=batch),
            neighbours=beside(batch),
            model=PLAN.files("prediction.model") or "<results>/model/model.keras",
            flights=PLAN.flight_files(batch),
            flights_beside=flights_beside(batch),
            area=PLAN.layer("area").files,
        output:
            records=expand("<results>/predictions/{scene}.json", scene=batch),
            probability=expand(
                "<results>/predictions/probability/{scene}.tif", scene=batch
            ),
        log:
            f"<logs>/predictions/{name}.log",
        benchmark:
            f"<benchmarks>/predictions/{name}.tsv"
        conda:
            "../../envs/tensorflow.yaml"
        threads: cpus(16)
        resources:
            mem_mb=megabytes(3000),
        params:
            folder=f"--output-folder={PLAN.settings.results}/predictions",
            window=options("prediction.window"),
            overlap=options("prediction.overlap"),
            averaging=options("prediction.augmentation"),
            resample=options("prediction.resample"),
            bands=literal(PLAN.bands_of(batch)),
            model_state=PLAN.state("prediction.model"),
            area=literal(PLAN.layer("area").arguments),
            area_state=PLAN.layer("area").fingerprint,
            code=PLAN.code("predictions"),
        message:
            f"Predicting {len(batch)} scenes"
        shell:
            "python -m roadmask predictions {input.scenes:q} --neighbours {input.neighbours:q}"
            " --model {input.model:q}"
            " {params.folder:q} {params.window:q} {params.overlap:q}"
            " {params.averaging:q} {params.resample:q} {params.bands:q}"
            " --flights {input.flights:q} {input.flights_beside:q} {params.area:q} --threads {threads} --log {log:q}"

    # Apart, so that another threshold does not run the network again.
    rule:
        name:
            f"classify_{name}"
        input:
            probability=expand(
                "<results>/predictions/probability/{scene}.tif", scene=batch
            ),
            model=PLAN.files("prediction.model") or "<results>/model/model.keras",
        output:
            classes=expand("<results>/predictions/{scene}.tif", scene=batch),
            styles=expand("<results>/predictions/{scene}.qml", scene=batch),
            names=expand("<results>/predictions/{scene}.tif.aux.xml", scene=batch),
        log:
            f"<logs>/predictions/classes/{name}.log",
        benchmark:
            f"<benchmarks>/predictions/classes/{name}.tsv"
        conda:
            "../../envs/geo.yaml"
        threads: 1
        resources:
            mem_mb=megabytes(1000),
        params:
            folder=f"--output-folder={PLAN.settings.results}/predictions",
            threshold=options("prediction.threshold"),
            model_state=PLAN.state("prediction.model"),
            code=PLAN.code("predictions.classes"),
        message:
            f"Telling the classes of {len(batch)} scenes apart"
        shell:
            "python -m roadmask classes {input.probability:q} --model {input.model:q}"
            " {params.folder:q} {params.threshold:q} --log {log:q}"


rule mosaic_predictions:
    input:
        expand("<results>/predictions/{scene}.tif", scene=PLAN.prediction),
        whole("{results}/mosaics/predictions.json"),
    output:
        "<results>/mosaics/predictions.json",
    log:
        "<logs>/predictions/mosaic.log",
    benchmark:
        "<benchmarks>/predictions/mosaic.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000),
    params:
        results=literal(PLAN.settings.results),
        scenes=of_scenes(PLAN.prediction),
        vrt=f"--output={PLAN.settings.results}/predictions.vrt",
        code=PLAN.code("mosaic"),
    message:
        "Joining all predictions in one layer"
    shell:
        "python -m roadmask mosaic {params.scenes:q} {params.results:q}/predictions/{{scene}}.tif"
        " {params.vrt:q} --log {log:q}"


rule predictions:
    input:
        [
            getattr(rules, f"{made}_{name}").output
            for name, batch in PLAN.batches.items()
            if set(batch) <= set(PLAN.prediction)
            for made in ("predict", "classify")
        ],
        [
            f"<results>/neighbours/{PLAN.group_of(batch)}.json"
            for batch in PLAN.batches.values()
            if set(batch) <= set(PLAN.prediction)
        ],
        [] if PLAN.settings.in_pixels else rules.mosaic_predictions.output,
    message:
        "All predictions are made"
