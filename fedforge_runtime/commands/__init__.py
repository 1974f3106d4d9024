"""The subcommands of `fedforge`, a file for each subject."""
