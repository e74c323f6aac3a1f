"""How an answer is read, and how several prompts vote on it: a class for each kind of answers.

`say` is what one prompt says of a text. It asks by `ask(token_ids, wanted)`, which gives logits
[1 + token_ids, V]: where the answer stands, and at each of these tokens behind it; with `blank`
behind no text. Only those of `wanted` tokens are looked at; without any, the largest alone. `vote`
makes of what all prompts say the answer, the part of the votes for it, and its probability, None
where the kind has none. `cells` are the text's columns by name.
"""

import json
import re
import string
from collections import Counter

import torch


def double(numbers):
    return torch.tensor(numbers, dtype=torch.double)


def log_probs_of(ids, logits):
    """[ids], of tokens among the vocabulary, each behind those before it."""
    return logits.log_softmax(-1)[range(len(ids)), ids]


def recalibrated(numbers, said):
    """Log-probabilities at a temperature, with biases."""
    biases = double(numbers["biases"])[: said.shape[-1]]
    return (said / numbers["temperature"] + biases).log_softmax(-1)


class LabelWords:
    """One of some labels, each as probable as its words."""

    def __init__(self, export, model, tokenizer):
        self.task, self.rule, self.tokenizer = export["task"], export["vote"], tokenizer
        weights = double([prompt["weight"] for prompt in export["prompts"]])
        self.weights = weights / weights.sum()

    def names(self, cells):
        return self.task["labels"]

    def share(self, alike):
        """The part of the votes that is for an answer, of whether each prompt says it."""
        return float(self.weights @ double([float(own) for own in alike]))

    def say(self, prompt, task, ask, cells):
        """[L] log-probabilities: the sum or mean over a word's tokens, then all of a label's."""
        labels = [[] for _ in task["labels"]]
        for word in task["words"]:
            beside = task["words"] if task["tree"] else [word]
            logits = ask(word["ids"][:-1], [token for each in beside for token in each["ids"]])
            if task["tree"]:
                logits = self.among_words(task, word["ids"], logits)
            own = log_probs_of(word["ids"], logits)
            labels[word["label"]].append(own.mean() if task["mean"] else own.sum())
        scores = torch.stack([torch.stack(words).logsumexp(0) for words in labels])
        return (scores - torch.tensor(prompt["prior"] or [0.0] * len(scores))).log_softmax(-1)

    def among_words(self, task, word_ids, logits):
        """The logits of those tokens alone that go on a word where each of a word's tokens
        stands."""
        only = torch.full_like(logits, -torch.inf)
        for at in range(len(word_ids)):
            words = [word["ids"] for word in task["words"] if word["ids"][:at] == word_ids[:at]]
            for ids in words:
                only[at, ids[at]] = logits[at, ids[at]]
        return only

    def vote(self, said, cells):
        """The label with most votes, by the mean of recalibrated log-probabilities, or stacked."""
        answers, rule, weights = torch.stack(said).double(), self.rule, self.weights
        shares = weights @ torch.eye(answers.shape[1]).double()[answers.argmax(1)]
        if rule["stack"]:
            parts = answers.clamp(min=-27.631021).unsqueeze(1) @ double(
                rule["stack"]["coefficients"]
            )
            joint = (parts.sum((0, 1)) + double(rule["stack"]["biases"])).log_softmax(-1)
        elif rule["recalibrated"]:
            each = zip(rule["recalibrated"], answers, strict=True)
            own = [recalibrated(numbers, rows) for numbers, rows in each]
            joint = (weights @ torch.stack(own)).log_softmax(-1)
        else:
            joint = (weights @ answers.exp()).log()
            tied = torch.isclose(shares, shares.max())
            best = int(answers.sum(0).masked_fill(~tied, -torch.inf).argmax())
        if rule["stack"] or rule["recalibrated"]:
            best = int(joint.argmax())
        probabilities = (recalibrated(rule["joint"], joint) if rule["joint"] else joint).exp()
        return self.names(cells)[best], float(shares[best]), float(probabilities[best])


class Options(LabelWords):
    """One of the options that a row brings along, each read behind the question."""

    def names(self, cells):
        """The row's options: a list in one column, or a column for each."""
        found, most = [cells[column] for column in self.task["options"]], self.task["most_options"]
        if len(found) == 1:
            found = json.loads(found[0]) if isinstance(found[0], str) else found[0]
        found = [str(option).strip() for option in found if str(option).strip()]
        if not 2 <= len(found) <= most:
            raise ValueError(f"a text has {len(found)} options, and there may be 2 to {most}")
        return found

    def say(self, prompt, task, ask, cells):
        """[options] log-probabilities: the mean or sum over an option's tokens, or how much
        likelier they are than behind no text."""
        scores = []
        for option in self.names(cells):
            ids = self.behind(task["before"], task["joint"] + option)[: task["longest_answer"]]
            own = log_probs_of(ids, ask(ids[:-1], ids)).sum()
            if task["scoring"] == "unconditional":
                own = own - log_probs_of(ids, ask(ids[:-1], ids, blank=True)).sum()
            elif task["scoring"] != "sum":
                own = own / len(ids)
            scores.append(own)
        return torch.stack(scores).log_softmax(-1)

    def behind(self, before, text):
        """The tokens of a text where it stands behind another."""
        known, joined = (
            self.tokenizer(each, add_special_tokens=False).input_ids
            for each in (before, before + text)
        )
        if joined[: len(known)] != known or len(joined) == len(known):
            raise ValueError(f"the option {text.strip()!r} merges with the end of the template")
        return joined[len(known) :]


class Scale(LabelWords):
    """A number: the expectation of the labels, which are numbers, over their probabilities."""

    def vote(self, said, cells):
        """The median of the prompts' numbers, each counted by its weight, or their mean."""
        steps = double([float(label) for label in self.task["labels"]])
        values = torch.stack(said).double().exp() @ steps
        order = values.argsort(stable=True)
        passed = self.weights[order].cumsum(0)
        # The mean of the two in the middle, where half of the weight lies on either side.
        middle = [
            int(reach.int().argmax()) for reach in (passed >= 0.5 - 1e-9, passed > 0.5 + 1e-9)
        ]
        value = values[order[middle]].mean()
        if self.rule["vote"] == "mean":
            value = self.weights @ values
        return float(value), self.share((values - value).abs() < steps.diff().min() / 2), None


class SeveralLabels(LabelWords):
    """Any of some labels: each is asked for by itself, yes or no."""

    def say(self, prompt, task, ask, cells):
        """[L] log-probabilities of yes; a label's threshold is taken off its log-odds."""
        odds = []
        for ids, (yes, no) in zip(task["asked"], task["yes_no"], strict=True):
            logits = ask(ids, [yes, no])[-1]
            odds.append(logits[yes] - logits[no])
        prior = torch.tensor(prompt["prior"] or [0.0])
        return torch.nn.functional.logsigmoid(torch.stack(odds) - prior)

    def vote(self, said, cells):
        """Label by label; of as many votes for as against one, the surer ones count."""
        yes = torch.stack(said).double()
        own, mean = yes.exp() > 0.5, self.weights @ yes.exp()
        votes = self.weights @ own.double()
        surer = yes.sum(0) > torch.log1p(-yes.clamp(max=-1e-12).exp()).sum(0)
        given = torch.where(torch.isclose(votes, double(0.5)), surer, votes > 0.5)
        if self.rule["vote"] == "mean":
            given = mean > 0.5
        labels = [label for label, has in zip(self.task["labels"], given, strict=True) if has]
        probability = torch.where(given, mean, 1 - mean).prod()
        return labels, self.share((own == given).all(1)), float(probability)


class Text(LabelWords):
    """What the model writes behind the question."""

    def __init__(self, export, model, tokenizer):
        super().__init__(export, model, tokenizer)
        known = [getattr(model, name, None) for name in ("generation_config", "config")]
        known.append(tokenizer)
        ends = [getattr(each, "eos_token_id", None) for each in known]
        ends = next((own for own in ends if own is not None), [])
        self.ends = [ends] if isinstance(ends, int) else ends

    def say(self, prompt, task, ask, cells):
        """The likeliest token behind the likeliest token, up to the model's end, a stop string, or
        so many tokens."""
        ids, text, stop = [], "", task["stop"]
        while len(ids) < task["longest_answer"] and not any(each in text for each in stop):
            token = int(ask(ids)[-1].argmax())
            if token in self.ends:
                break
            ids.append(token)
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
        end = min((text.find(each) for each in stop if each in text), default=len(text))
        return self.understood(text[:end].strip()[: task["characters"]])

    def understood(self, written):
        return written

    def key(self, answer):
        """Equal for answers that say the same: no case, punctuation and articles."""
        bare = answer.lower().translate(str.maketrans("", "", string.punctuation))
        return " ".join(re.sub(r"\b(?:a|an|the)\b", " ", bare).split())

    def likeness(self, one, other):
        """F1 of their words."""
        own, said = self.key(one).split(), self.key(other).split()
        both = sum((Counter(own) & Counter(said)).values())
        return 2 * both / (len(own) + len(said)) if own and said else float(own == said)

    def chosen(self, said):
        """The answer with most votes; of several, the one most like all of them."""
        each, votes = list(zip(said, self.weights.tolist(), strict=True)), Counter()
        for answer, weight in each:
            votes[self.key(answer)] += weight
        first = [own for own in said if votes[self.key(own)] > max(votes.values()) - 1e-9]
        alike = [sum(weight * self.likeness(own, other) for other, weight in each) for own in first]
        return first[alike.index(max(alike))]

    def vote(self, said, cells):
        best = self.chosen(said)
        alike = [self.key(answer) == self.key(best) for answer in said]
        return self.told(best, cells), self.share(alike), None

    def told(self, answer, cells):
        return answer


class Spans(Text):
    """Parts of the text, each with a label, written as `person: Ada Lovelace; place: London`. A
    span is its label, its words, and which of the places where these are named."""

    def understood(self, written):
        labels = {word.casefold(): label for label, word in self.task["label_words"].items()}
        counts, found = Counter(), []
        for part in written.split(";"):
            word, _, words = (each.strip() for each in part.partition(":"))
            if word.casefold() in labels and words:
                counts[words] += 1
                found.append((labels[word.casefold()], words, counts[words]))
        return found

    def key(self, answer):
        return frozenset(answer)

    def chosen(self, said):
        """The spans that more than half of the votes are for."""
        votes = Counter()
        for spans, weight in zip(said, self.weights.tolist(), strict=True):
            for span in spans:
                votes[span] += weight
        return [span for span in votes if votes[span] > 0.5 + 1e-9]

    def told(self, answer, cells):
        """Of each span where it stands; no place where the text does not have it so often."""
        names = [part["column"] for part in self.task["columns"]]
        text, found = cells["text" if "text" in names else names[0]], []
        for label, words, number in answer:
            places = [match.start() for match in re.finditer(re.escape(words), text)]
            start = places[number - 1] if number <= len(places) else None
            end = None if start is None else start + len(words)
            found.append({"label": label, "text": words, "start": start, "end": end})
        return found


KINDS = {
    "label_words": LabelWords,
    "options": Options,
    "scale": Scale,
    "several_labels": SeveralLabels,
    "text": Text,
    "spans": Spans,
}
