"""What the Snakefile needs in Python: settings, sources, code hashes, the machine.

It may know Snakemake and `roadmask`; `roadmask` knows neither this package nor ``config.yaml``.
"""
