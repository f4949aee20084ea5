"""`python -m bench.stand_in`: see `program`."""

from bench.stand_in.program import main

if __name__ == "__main__":
    main()
