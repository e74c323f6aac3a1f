"""Label words proposed by the frozen model itself, from the train texts (LM-BFF, Gao et al. 2021).

The model is asked once for each text; everything else is computed from the log-probabilities it
gave of what may be a label word. Words that are likely behind one label's texts and not behind
others' are candidates; of two labels all pairs of candidates are scored, of more each label's word
in turn while the others stay. A label then takes on further words as long as the loss falls.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from autoprompt.search_spaces import HardPlan
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.search_spaces.wording_space import LabelWords, Proposals
from autoprompt.workers.answers.vocabulary_readout import NextTokens
from autoprompt.workers.job import Job
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.question import Question, ids_behind
from autoprompt.workers.rows import Text
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners.vocabulary import readable_tokens
from autoprompt.workers.workbench import Workbench

#: Train texts that are asked about.
TEXTS = 512

#: A word has at least so many letters.
_LETTERS = 3

#: Words that a label may take on are looked for among so many times the candidates.
_FURTHER = 4

#: Rounds over the labels where there are more than two.
_ROUNDS = 8

#: Words for each label, by their places among what was asked.
_Words = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Asked:
    """What the model said behind the train texts.

    Attributes:
        words: [C], what may be a label word.
        log_probs: [B, C], of each as the next token, among the whole vocabulary.
        labels: [B], the texts' own.
    """

    words: tuple[str, ...]
    log_probs: Tensor
    labels: Tensor


def words_known(question: Question, readable: Tensor) -> dict[str, int]:
    """Words of one token each that may stand behind a question, and their tokens."""
    known: dict[str, int] = {}
    for token in readable.nonzero()[:, 0].tolist():
        written = question.tokenizer.decode([token])
        word = written.strip()
        if len(word) < _LETTERS or not word.isalpha() or word != word.lower():
            continue
        if ids_behind(question.before, question.joint + word, question.tokenizer) == (token,):
            known.setdefault(word, token)
    return known


def asked(scorer: Scorer, texts: Sequence[Text], labels: Sequence[int]) -> Asked:
    """Ask the model once for each text.

    Raises:
        BadInputError: no word of one token can stand behind the template.
    """
    known = words_known(scorer.task.question, readable_tokens(scorer.model))
    if len(known) < 2:
        raise BadInputError(
            f"space.label_words: no words of one token can follow the template "
            f"{scorer.wording.template!r}; name label words in the place of propose"
        )
    seated = scorer.seated(replace(scorer.task, readout=NextTokens(list(known.values()))))
    log_probs = seated.log_probs([Prompt("")], seated.tokenize(texts))[0]
    return Asked(tuple(known), log_probs, torch.tensor(labels))


def proposed(said: Asked, labels: Sequence[str], spec: Proposals) -> tuple[LabelWords, ...]:
    """Sets of label words by the loss of the train texts, the lowest first: each judged as a trial
    would ask it, and with batch calibration, and ranked by the lower of the two.
    """
    ranked = _candidates(said, len(labels), _FURTHER * spec.candidates)
    candidates = [own[: spec.candidates] for own in ranked]
    found: dict[_Words, float] = {}
    for calibrates in (True, False):
        judge = _Judge(said.log_probs, said.labels, calibrates)
        for single in _sets(judge, candidates, spec.propose):
            words, loss = _widened(judge, ranked, single, spec.words)
            words = tuple(tuple(sorted(own)) for own in words)
            found[words] = min(found.get(words, torch.inf), loss)
    best = sorted(found, key=found.__getitem__)[: spec.propose]
    return tuple(
        {
            label: tuple(said.words[word] for word in own)
            for label, own in zip(labels, words, strict=True)
        }
        for words in best
    )


@dataclass(frozen=True)
class _Judge:
    """The loss of label words on the train texts: a label is as probable as its words together.

    Attributes:
        scores: [B, C].
        labels: [B].
        calibrates: whether what a label is as probable as on the whole is taken off (Zhou et al.
            2023).
    """

    scores: Tensor
    labels: Tensor
    calibrates: bool

    def with_columns(self, logits: Tensor, label: int, columns: Tensor) -> Tensor:
        """[C], the mean loss of logits [B, L] with each of the columns [B, C] in the place of a
        label's."""
        others = logits.clone()
        others[:, label] = -torch.inf
        total = torch.logaddexp(torch.logsumexp(others, dim=1)[:, None], columns)
        # [B, L, C] would be large with many labels, so priors are taken label by label.
        right = torch.where(
            (self.labels == label)[:, None], columns, logits.gather(1, self.labels[:, None])
        )
        if not self.calibrates:
            return (total - right).mean(0)
        count = torch.log(torch.tensor(float(len(logits))))
        own_prior = torch.logsumexp(columns - total, dim=0) - count
        calibrated = columns - total - own_prior
        whole = calibrated
        prior_of_right = torch.where((self.labels == label)[:, None], own_prior, 0.0)
        for other in range(logits.shape[1]):
            if other != label:
                log_probs = logits[:, other, None] - total
                prior = torch.logsumexp(log_probs, dim=0) - count
                whole = torch.logaddexp(whole, log_probs - prior)
                prior_of_right = torch.where((self.labels == other)[:, None], prior, prior_of_right)
        return (whole - (right - total - prior_of_right)).mean(0)

    def loss(self, words: Sequence[Sequence[int]]) -> float:
        """Of one set of label words."""
        logits = torch.stack(
            [torch.logsumexp(self.scores[:, list(own)], dim=1) for own in words], dim=1
        )
        return float(self.with_columns(logits, 0, logits[:, :1])[0])


def _candidates(said: Asked, labels: int, count: int) -> list[list[int]]:
    """For each label the words that its texts make likelier than others' do, and that the model
    finds likely at all."""
    found = []
    common = said.log_probs.mean(0)
    likely = common >= common.topk(min(10 * count, len(common))).values[-1]
    for label in range(labels):
        own = said.labels == label
        lead = said.log_probs[own].mean(0) - said.log_probs[~own].mean(0)
        lead = lead.masked_fill(~likely, -torch.inf)
        found.append(lead.topk(min(count, int(likely.sum()))).indices.tolist())
    return found


def _sets(judge: _Judge, candidates: list[list[int]], count: int) -> list[tuple[int, ...]]:
    """The best sets of one word a label."""
    if len(candidates) == 2:
        first, second = candidates
        losses = torch.stack(
            [
                judge.with_columns(judge.scores[:, [word, word]], 1, judge.scores[:, second])
                for word in first
            ]
        )
        order = losses.flatten().argsort(stable=True).tolist()
        pairs = (divmod(place, len(second)) for place in order)
        named = ((first[one], second[other]) for one, other in pairs)
        return list(itertools.islice((pair for pair in named if pair[0] != pair[1]), count))
    found: dict[tuple[int, ...], float] = {}
    for start in range(count):
        words = [own[min(start, len(own) - 1)] for own in candidates]
        for _ in range(_ROUNDS):
            before = list(words)
            for label, own in enumerate(candidates):
                free = [word for word in own if word not in words or word == words[label]]
                losses = judge.with_columns(judge.scores[:, words], label, judge.scores[:, free])
                words[label] = free[int(losses.argmin())]
            if words == before:
                break
        if len(set(words)) == len(words):
            found[tuple(words)] = judge.loss([(word,) for word in words])
    return sorted(found, key=found.__getitem__)


def _widened(
    judge: _Judge, candidates: list[list[int]], single: Sequence[int], most: int
) -> tuple[_Words, float]:
    """Label words with further ones, each time the one that lowers the loss most; and the loss."""
    words: list[tuple[int, ...]] = [(word,) for word in single]
    logits = judge.scores[:, list(single)].clone()
    best = judge.loss(words)
    while True:
        taken = {word for own in words for word in own}
        tried: dict[tuple[int, int], float] = {}
        for label, own in enumerate(candidates):
            free = [word for word in own if word not in taken]
            if len(words[label]) < most and free:
                columns = torch.logaddexp(logits[:, label, None], judge.scores[:, free])
                losses = judge.with_columns(logits, label, columns)
                at = int(losses.argmin())
                tried[label, free[at]] = float(losses[at])
        if not tried:
            break
        (label, word), loss = min(tried.items(), key=lambda item: item[1])
        if loss >= best:
            break
        words[label], best = (*words[label], word), loss
        logits[:, label] = torch.logaddexp(logits[:, label], judge.scores[:, word])
    return tuple(words), best


def proposed_label_words(
    job: Job, templates: Sequence[str], spec: Proposals
) -> Iterator[tuple[str, tuple[LabelWords, ...]]]:
    """Each template with what the model proposes behind it, asked once for each train text.

    Workers that have templates each and begin together share the reading of the texts, where these
    have files.

    Raises:
        BadInputError: no word of one token can stand behind a template.
    """
    bench = Workbench(job)
    scorer = bench.open()
    if job.cache.bytes_on_disk:
        # Read as a trial's worker reads them, so that these find them in files.
        bench.seat(HardPlan(seed=0))
    names = scorer.task.answers.names
    texts, labels = job.train.texts[:TEXTS], job.train.labels[:TEXTS]
    for template in templates:
        own = scorer.reworded(scorer.wording.reworded(template, None))
        yield template, proposed(asked(own, texts, labels), names, spec)
