"""`python -m mmmie`, which is what `torchrun -m mmmie` starts; the same as the command `mmmie`."""

from mmmie.cli.main import run

if __name__ == "__main__":
    run()
