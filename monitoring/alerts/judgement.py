"""What the monitor found: changed inputs, a model no better than its rule, outcomes that do not come or cannot be true,
money lost."""

from collections.abc import Iterator
from datetime import timedelta

from monitoring.alerts.rule import MODEL, MONITOR_JOB, OF_MODELS, Alert, Dashboard, Rule, Severity
from monitoring.evaluation.alert import ALERT
from monitoring.metrics import AUC_METRICS, table
from services.core.records import CHAMPION
from services.core.spec import Good, Measure, ModelSpec
from services.metrics.table import MODEL_INFO


def judgement_rules(spec: ModelSpec) -> tuple[Rule, ...]:
    return _drift(), _below_rule(), _doubted(), _coverage(spec), *_effects(spec)


def _drift() -> Alert:
    """The lifecycle looks up since when and in which features: the evaluation has put that on record."""
    scores = f"{table.DRIFT_SCORE}{{model='%s',feature!='score'}}"
    above = f"{scores} > on (model, feature, method) {table.DRIFT_THRESHOLD}"
    return Alert(
        name=ALERT,
        # One series whichever monitor shows it: to the receiver another instance would be another alert.
        expr=f"max by (model) ({table.DRIFT_DETECTED}{{{OF_MODELS}}}) == 1",
        lasts=timedelta(minutes=1),
        severity=Severity.TICKET,
        summary=f"The inputs of {MODEL} differ from its training:"
        f'{{{{ range query (printf "{above}" $labels.model) }}}}'
        " {{ .Labels.feature }} by {{ .Value | printf `%.2f` }}{{ end }}",
        description="The change is confirmed in several windows in a row; a retraining is opened by itself.",
        dashboard=Dashboard.MODEL,
    )


def _below_rule() -> Alert:
    _, of_rule = AUC_METRICS

    def figure(metric: str) -> str:
        return f'max by (model, version) ({table.PERFORMANCE}{{{OF_MODELS},metric="{metric}"}})'

    champion = f'max by (model, version) ({MODEL_INFO}{{job="{MONITOR_JOB}",alias="{CHAMPION}"}})'
    return Alert(
        name="PerformanceBelowRule",
        # The upper end of the interval: below the rule beyond what few rows could feign.
        expr=f"{figure('auc_high')}\n< {figure(of_rule)}\nand on (model, version) {champion}",
        lasts=timedelta(minutes=30),
        severity=Severity.TICKET,
        summary=f"{MODEL} {{{{ $labels.version }}}}: its AUC is at most {{{{ $value | printf `%.3f` }}}}, "
        "below its rule's",
        description="On matured answers the plain rule ranks better than the champion: the model adds nothing.",
        dashboard=Dashboard.MODEL,
    )


def _doubted() -> Alert:
    doubted = f"max by (model, reason) ({table.OUTCOMES_DOUBTED}{{{OF_MODELS}}})"
    return Alert(
        name="OutcomesDoubted",
        expr=f"{doubted} == 1",
        # One judgement is enough: it takes hundreds of answers, and what stopped a retraining stays.
        lasts=timedelta(minutes=1),
        severity=Severity.PAGE,
        summary=f"{MODEL}: its outcomes cannot be true ({{{{ $labels.reason }}}})",
        description="Performance, money and the gate rest on them. Nothing is retrained on them; `bellwether status` "
        "says since when, and why.",
        dashboard=Dashboard.MODEL,
    )


def _coverage(spec: ModelSpec) -> Alert:
    return Alert(
        name="OutcomeCoverageLow",
        expr=f"max by (model) ({table.OUTCOME_COVERAGE}{{{OF_MODELS}}}) < {spec.objectives.outcome_coverage:g}",
        lasts=timedelta(hours=1),
        severity=Severity.TICKET,
        summary=f"{MODEL}: {{{{ $value | humanizePercentage }}}} of the matured answers have an outcome, "
        f"expected {spec.objectives.outcome_coverage:.0%}",
        description="Performance and money are judged on what is known; what is missing is rarely missing by chance.",
        dashboard=Dashboard.MODEL,
    )


def _effects(spec: ModelSpec) -> Iterator[Alert]:
    """Of measures that should rise. One that should fall, such as money spent, always rises when somebody acts."""
    entity = spec.entity.removesuffix("_id")
    for measure in spec.measures:
        if measure.good is Good.UP:
            least = f"{measure.name} by at most {{{{ $value | printf `%.2f` }}}} {measure.unit} per {entity}"
            yield _effect(
                measure,
                name="BusinessEffectNegative",
                gauge=table.BUSINESS_EFFECT,
                summary=f"{MODEL}: acting on its answers changes {least}",
                description="Where nobody acts more is earned, beyond chance: the whole interval is below 0.",
            )
            yield _effect(
                measure,
                name="BusinessBelowRule",
                gauge=table.BUSINESS_BEYOND_RULE,
                summary=f"{MODEL}: acting where its rule would not changes {least}",
                description="Leaving those to the rule, who leaves them in peace, would earn more, beyond chance.",
            )


def _effect(measure: Measure, *, name: str, gauge: str, summary: str, description: str) -> Alert:
    """The upper end of the interval: harm that few rows could not feign."""
    high = f'{gauge}{{{OF_MODELS},measure="{measure.name}",bound="high"}}'
    return Alert(
        name=name,
        expr=f"max by (model, measure) ({high}) < 0",
        lasts=timedelta(hours=1),
        severity=Severity.TICKET,
        summary=summary,
        description=description,
        dashboard=Dashboard.BUSINESS,
        labels={"measure": measure.name},
    )
