"""`python -m tladapt`: the command line, for where the `tladapt` script is not on the path."""

from tladapt.cli import main

if __name__ == "__main__":
    main()
