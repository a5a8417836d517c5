"""Running a model on items: batched, the shared prefix computed once."""
