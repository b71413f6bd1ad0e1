"""`python -m m3it`, and `accelerate launch -m m3it train ...`, `torchrun -m m3it train ...`: the command line."""

from m3it.cli import main

if __name__ == "__main__":
    main()
