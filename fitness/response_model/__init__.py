"""Item response models: how likely a model is to answer an item rightly, given abilities and item parameters."""
