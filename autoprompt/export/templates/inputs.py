"""What a model reads with the prompts in this folder: columns as tokens, and these and a prompt as
input embeddings; and what all prompts answer together."""

import json

import torch
from safetensors.torch import load_file


class Inputs:
    """Texts beside prompts.

    `embed` turns token ids into input embeddings [tokens, H].
    """

    def __init__(self, folder, tokenizer, embed):
        self.folder, self.tokenizer, self.embed = folder, tokenizer, embed
        self.export = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))

    def task_of(self, prompt):
        """What is asked with a prompt: all of them the same, but for those with a task of their
        own."""
        return prompt.get("task", self.export["task"])

    def cells_of(self, text):
        """A text's columns by name."""
        tasks = [self.task_of(prompt) for prompt in self.export["prompts"]]
        names = {part["column"] for task in tasks for part in task["columns"]}
        names |= set(self.export["task"].get("options", ()))
        if len(names) == 1:
            return {names.pop(): text}
        cells = json.loads(text)
        if not isinstance(cells, dict) or names - cells.keys():
            wanted = ", ".join(sorted(names))
            raise ValueError(f"a text is a JSON object of {wanted}: {text[:40]!r}")
        return {
            name: cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
            for name, cell in cells.items()
        }

    def ids_of(self, task, cells):
        """The template up to the end of its last column, as tokens."""
        filled = "".join(part["before"] + cells[part["column"]].strip() for part in task["columns"])
        ids = self.tokenizer(filled, add_special_tokens=False).input_ids
        return [*task["begin_ids"], *ids][: task["longest_text"]]

    def trained(self, stored):
        """What was trained of a prompt, as it lies in a file."""
        return load_file(self.folder / stored["file"])[stored["tensor"]].reshape(stored["shape"])

    def sides(self, prompt):
        """A prompt's embeddings before everything, and those that stand elsewhere. Where a token is
        -1, a trained vector stands."""
        slots = self.embed([max(token, 0) for token in prompt["token_ids"]])
        if "vectors" in prompt:
            vectors = self.trained(prompt["vectors"]).to(slots)
            slots[torch.tensor(prompt["token_ids"]) < 0] = vectors
        cut = {"prefix": len(slots), "both": prompt["front"]}.get(prompt["position"], 0)
        return slots[:cut], slots[cut:]

    def behind(self, prompt, task, rest):
        """What stands behind the text: the template's end, and the prompt where it belongs."""
        tail = self.embed(task["tail_ids"])
        places = {"end": [tail, rest], "decoder": [tail]}
        return places.get(prompt["position"], [rest, tail])

    def causal(self, prompt, cells, word_ids):
        """[tokens, H]: all that a model reads that goes on from what it reads."""
        task, (front, rest) = self.task_of(prompt), self.sides(prompt)
        text = self.embed(self.ids_of(task, cells))
        return torch.cat([front, text, *self.behind(prompt, task, rest), self.embed(word_ids)])

    def answer(self, kind, text, read):
        """A line of what is printed.

        `kind` is of answers.py, and `read(prompt, cells, word_ids, wanted)` gives what it asks.
        """
        cells, said = self.cells_of(text), []
        for prompt in self.export["prompts"]:

            def ask(word_ids, wanted=(), blank=False, prompt=prompt):
                own = dict.fromkeys(cells, "") if blank else cells
                return read(prompt, own, word_ids, wanted)

            said.append(kind.say(prompt, self.task_of(prompt), ask, cells))
        label, votes, probability = kind.vote(said, cells)
        rule = self.export["abstain"]
        if rule and probability < rule["threshold"]:
            label = None
        return {"text": text, "label": label, "votes": votes, "probability": probability}
