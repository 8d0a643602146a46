rule measure_tone:
    input:
        scene="<results>/scenes/{scene}.tif",
        area=PLAN.layer("area").files,
        model=PLAN.files("prediction.model"),
    output:
        "<results>/tone/{scene}.json",
    log:
        "<logs>/tone/{scene}.log",
    benchmark:
        "<benchmarks>/tone/{scene}.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000),
    params:
        # A ready network knows its bands itself.
        pixels=([] if PLAN.predicts_only else options("imagery.bands", "imagery.scale")),
        model=literal([f"--model={path}" for path in PLAN.files("prediction.model")]),
        model_state=PLAN.state("prediction.model"),
        bands=lambda wildcards: PLAN.bands_of([wildcards.scene]),
        new=lambda wildcards: [] if PLAN.is_trained_on(wildcards.scene) else ["--new"],
        area=literal(PLAN.layer("area").arguments),
        area_state=PLAN.layer("area").fingerprint,
        code=PLAN.code("tone.command"),
    message:
        "Measuring how bright {wildcards.scene} is"
    shell:
        "python -m roadmask tone {input.scene:q} --output {output:q} {params.pixels:q}"
        " {params.model:q} {params.bands:q} {params.new:q} {params.area:q} --log {log:q}"


rule join_flight:
    input:
        lambda wildcards: expand(
            "<results>/tone/{scene}.json", scene=PLAN.flights[wildcards.flight]
        ),
    output:
        "<results>/tone/flights/{flight}.json",
    log:
        "<logs>/tone/flights/{flight}.log",
    benchmark:
        "<benchmarks>/tone/flights/{flight}.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(500),
    params:
        results=literal(PLAN.settings.results),
        scenes=lambda wildcards: f"--scenes={'/'.join(PLAN.flights[wildcards.flight])}",
        code=PLAN.code("tone.flight"),
    message:
        "Joining the scenes of {wildcards.flight}"
    shell:
        "python -m roadmask flight {params.scenes:q} {params.results:q}/tone/{{scene}}.json"
        " --output {output:q} --log {log:q}"


rule tone:
    input:
        expand("<results>/tone/{scene}.json", scene=PLAN.training),
        expand("<results>/tone/flights/{flight}.json", flight=PLAN.flights),
    message:
        "All scenes are measured"
