"""`python -m ssgan_cli`: the same as the `ssgan` command, from a checkout without installation."""

from ssgan_cli.app import main

if __name__ == "__main__":
    main()
