"""The metrics that configurations name. A new one is an entry of `METRICS`, or a user's own."""

from dataclasses import fields, replace
from typing import Any

from autoprompt.search_spaces.registry import Registry
from autoprompt.workers import metric_functions as labels
from autoprompt.workers.metrics import sets, spans, texts, translations, values
from autoprompt.workers.metrics.metric import Function, Metric


class _Metrics(Registry[Metric]):
    """Metrics by name, and a user's own: a `Metric`, or a plain function that says its facts by
    attributes of the same names."""

    def __getitem__(self, reference: str) -> Metric:
        entry: Any = super().__getitem__(reference)
        if isinstance(entry, Metric):
            return replace(entry, name=reference)
        facts = {fact: getattr(entry, fact) for fact in _FACTS if hasattr(entry, fact)}
        return Metric(reference, entry, **facts)


_FACTS = [field.name for field in fields(Metric) if field.name not in ("name", "function")]


def _metric(name: str, function: Function, **facts: Any) -> Metric:
    return Metric(name, function, vectorised=True, **facts)


def _loss(name: str, function: Function, **facts: Any) -> Metric:
    return _metric(name, function, greater_is_better=False, **facts)


def _of_texts(name: str, function: Function, **facts: Any) -> Metric:
    return Metric(name, function, needs="texts", **facts)


_PROBABILITIES: Any = {"needs": "probabilities"}
_VALUES: Any = {"needs": "values"}
_SETS: Any = {"needs": "sets"}
_MEAN: Any = {"mean_over_examples": True}
_COUNTED: Any = _MEAN | {"right_or_wrong": True}

METRICS = _Metrics(
    "metric",
    {
        metric.name: metric
        for metric in (
            _metric("accuracy", labels.accuracy, **_MEAN),
            _metric("balanced_accuracy", labels.balanced_accuracy, every_label=True),
            _metric("macro_f1", labels.macro_f1, every_label=True),
            _metric("micro_f1", labels.micro_f1, **_MEAN),
            _metric("mcc", labels.mcc),
            _loss("log_loss", labels.log_loss, **_PROBABILITIES, **_MEAN),
            _loss("brier", labels.brier, **_PROBABILITIES, **_MEAN),
            _loss("ece", labels.ece, gaps=labels.calibration_gaps, **_PROBABILITIES),
            _metric("auc", labels.auc, **_PROBABILITIES, every_label=True),
            _loss("mae", values.mae, **_VALUES, **_MEAN),
            _loss("rmse", values.rmse, **_VALUES),
            _metric("pearson", values.pearson, **_VALUES),
            _metric("spearman", values.spearman, **_VALUES),
            _metric("multilabel_micro_f1", sets.multilabel_micro_f1, **_SETS),
            _metric("multilabel_macro_f1", sets.multilabel_macro_f1, **_SETS),
            _metric("subset_accuracy", sets.subset_accuracy, **_SETS, **_COUNTED),
            _loss("hamming_loss", sets.hamming_loss, **_SETS, **_MEAN),
            Metric("entity_f1", spans.EntityF1(), needs="spans"),
            _of_texts("exact_match", texts.exact_match, **_COUNTED),
            _of_texts("token_f1", texts.token_f1, **_MEAN),
            _of_texts("rouge1", texts.rouge1, **_MEAN),
            _of_texts("rouge2", texts.rouge2, **_MEAN),
            _of_texts("rougeL", texts.rouge_l, **_MEAN),
            _of_texts("bleu", translations.Bleu()),
            _of_texts("chrf", translations.Chrf()),
        )
    },
    group="autoprompt.metrics",
)
