"""Item response models: the probability that a model answers an item rightly, from its ability and the item's parameters."""
