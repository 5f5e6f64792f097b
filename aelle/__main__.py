"""`python -m aelle` is the command line."""

from aelle.cli import main

if __name__ == "__main__":
    main()
