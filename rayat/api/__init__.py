"""rayat from Python: what the command line does, for scripts and notebooks.

`import rayat` gives all of it: `rayat.run`, `rayat.resume`, `rayat.plan`, `rayat.open` and what a
run can be asked (`rayat.Run`).
"""
