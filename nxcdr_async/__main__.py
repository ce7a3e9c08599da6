"""`python -m nxcdr_async` is the command `nxcdr`."""

from nxcdr_async.cli import main

if __name__ == "__main__":
    main()
