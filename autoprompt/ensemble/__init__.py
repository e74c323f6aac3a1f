"""The prompts that vote: how they are chosen, how they vote, and how they label texts."""
