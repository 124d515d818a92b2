"""`python -m rayat.cli`: the same as `rayat`."""

from rayat.cli import main

if __name__ == "__main__":
    main()
