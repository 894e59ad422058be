"""What does ``python -m robustpeft`` do? The same as the command ``robustpeft``."""

from robustpeft.cli.__main__ import main

main()
