"""`python -m parparchik`."""

from parparchik.cli import main

if __name__ == "__main__":
    main()
