"""The executors of a plan: live, disk and meta."""
