"""``python -m calkit`` is ``calkit``."""

from calkit.cli import main

if __name__ == "__main__":
    main()
