"""The commands of `descend`, a module for each subject; only `descend.cli` imports them."""
