"""The vocabulary, the plugin contracts, checkpoints, and the build plan with its executors."""
