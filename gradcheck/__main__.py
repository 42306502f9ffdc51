"""`python -m gradcheck` is `gradcheck`."""

from gradcheck.cli import main

if __name__ == "__main__":
    main()
