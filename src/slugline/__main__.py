"""`python -m slugline` is the same as `slugline`."""

from slugline.cli import main

if __name__ == "__main__":
    main()
