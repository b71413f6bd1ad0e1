"""`m3it train` for launchers: accelerate launch scripts/train.py --model ... --out ..., or torchrun likewise."""

import sys

from m3it.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
