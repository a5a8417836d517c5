"""Schedulers: which waiting evaluation a free worker gets. One file each; see `core/contracts/scheduler.py`."""
