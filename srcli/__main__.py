"""python -m srcli, torchrun -m srcli."""

from srcli.cli import main

if __name__ == "__main__":
    main()
