"""A search taken elsewhere: prompts as a folder, trials as an Optuna study."""
