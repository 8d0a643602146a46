rule draw_vectors:
    input:
        classes=expand("<results>/predictions/{scene}.tif", scene=PLAN.prediction),
        probability=expand(
            "<results>/predictions/probability/{scene}.tif", scene=PLAN.prediction
        ),
        lines=expand("<results>/lines/{scene}.gpkg", scene=PLAN.predicted_with_map),
        whole=whole("{results}/vectors/vectors.json"),
    output:
        "<results>/vectors/vectors.json",
    log:
        "<logs>/vectors/vectors.log",
    benchmark:
        "<benchmarks>/vectors/vectors.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: cpus(8)
    resources:
        mem_mb=lambda wildcards, threads, attempt: 700 * threads * attempt,
    params:
        results=literal(PLAN.settings.results),
        scenes=of_scenes(PLAN.prediction),
        mapped=literal(f"--lines-scenes={'/'.join(PLAN.predicted_with_map)}"),
        shapes=options("vectors"),
        code=PLAN.code("vectors"),
    message:
        "Drawing roads as polygons and as a network"
    shell:
        "python -m roadmask vectors {params.scenes:q}"
        " {params.results:q}/predictions/{{scene}}.tif"
        " --probability={params.results:q}/predictions/probability/{{scene}}.tif"
        " --lines-folder {params.results:q}/lines {params.mapped:q}"
        " --output {output:q} {params.shapes:q} --threads {threads} --log {log:q}"


rule score_vectors:
    input:
        masks=expand("<results>/masks/{scene}.tif", scene=PLAN.training),
        lines=expand("<results>/lines/{scene}.gpkg", scene=PLAN.training),
        vectors=rules.draw_vectors.output,
    output:
        "<results>/vectors/network.json",
    log:
        "<logs>/vectors/score.log",
    benchmark:
        "<benchmarks>/vectors/score.tsv"
    conda:
        "../../envs/geo.yaml"
    threads: cpus(8)
    resources:
        mem_mb=lambda wildcards, threads, attempt: 700 * threads * attempt,
    params:
        results=literal(PLAN.settings.results),
        scenes=of_scenes(PLAN.training),
        shapes=options("vectors"),
        code=PLAN.code("vectors.score"),
    message:
        "Scoring the network against the map's centerlines"
    shell:
        "python -m roadmask score-vectors {params.scenes:q}"
        " --masks={params.results:q}/masks/{{scene}}.tif"
        " --lines={params.results:q}/lines/{{scene}}.gpkg"
        " --vectors {input.vectors:q} --output {output:q} {params.shapes:q}"
        " --threads {threads} --log {log:q}"


rule vectors:
    input:
        rules.draw_vectors.output,
        rules.score_vectors.output if PLAN.scores_vectors else [],
    message:
        "All vectors are drawn"
