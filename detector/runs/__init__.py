"""The run folder: one kind of stage, stores, processes, and the training loop's bookkeeping."""
