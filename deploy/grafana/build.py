"""Make the dashboard: ``python deploy/grafana/build.py``, in the environment of requirements/system.txt."""

from pathlib import Path

from grafana_foundation_sdk.builders import heatmap, stat, table, timeseries
from grafana_foundation_sdk.builders.common import VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TARGET = Path(__file__).parent / "dashboards" / "tickline.json"

SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
SERVERS = 'job=~"$job",instance=~"$instance"'
JOBS = 'job=~"$job"'
CONTAINERS = 'container=~"tickline|kserve-container"'

# What the rules, the autoscaler and the Deployment say; a test holds them equal.
TARGET_RATE, CPU_LIMIT, MEMORY_LIMIT = 3400, 0.5, 512 * 2**20
ERROR_OBJECTIVE, SLOW_OBJECTIVE = 0.001, 0.01
MOST_DRIFT = 0.25


def query(expression: str, legend: str = "", letter: str = "A") -> Dataquery:
    """Return a query over the time that is shown."""
    return Dataquery().ref_id(letter).datasource(SOURCE).expr(expression).legend_format(legend)


def lines(title: str, unit: str, what: str, *queries: tuple[str, str], limit: float | None = None) -> timeseries.Panel:
    """Return a panel with a line for every series, and one for a limit."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(what)
        .unit(unit)
        .min(0)
        .datasource(SOURCE)
        .span(8)
        .height(8)
        .fill_opacity(8)
        .legend(
            VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
    )
    if limit is not None:
        queries = (*queries, (f"vector({limit:g})", "limit"))
    for letter, (expression, legend) in zip("ABCDEFGH", queries, strict=False):
        panel = panel.with_target(query(expression, legend, letter))
    return panel


def figure(title: str, unit: str, what: str, expression: str, limit: float | None = None) -> stat.Panel:
    """Return a panel with one figure, red from a limit on."""
    steps = [Threshold(value=None, color="green")]
    if limit is not None:
        steps.append(Threshold(value=limit, color="red"))
    return (
        stat.Panel()
        .title(title)
        .description(what)
        .unit(unit)
        .datasource(SOURCE)
        .span(6)
        .height(4)
        .thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .with_target(query(expression))
    )


def rate(metric: str, labels: str, by: str) -> str:
    """Return a counter's rate by a label."""
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def quantile(share: float, labels: str) -> str:
    """Return a quantile of the requests' durations."""
    return f"histogram_quantile({share:g}, {rate('http_request_duration_seconds_bucket', labels, 'le')})"


def overview(board: Dashboard) -> Dashboard:
    """Add what one looks at first."""
    share_slow = "Of the requests to /predict, those beyond 10 ms in the server; the objective is 1 %."
    for panel in (
        figure(
            "Predictions asked for",
            "reqps",
            "What the autoscaler counts.",
            f"sum(instance:inference_requests:rate1m{{{JOBS}}})",
        ),
        figure(
            "Failed",
            "percentunit",
            "Server errors of all requests for predictions; the objective is 0.1 %.",
            f"max(job:inference_errors:ratio_rate5m{{{JOBS}}})",
            ERROR_OBJECTIVE,
        ),
        figure("Slow", "percentunit", share_slow, f"max(job:predict_slow:ratio_rate5m{{{JOBS}}})", SLOW_OBJECTIVE),
        figure("Servers", "none", "Servers that answer a scrape.", f"count(up{{{JOBS}}} == 1)"),
    ):
        board = board.with_panel(panel)
    return board


def traffic(board: Dashboard) -> Dashboard:
    """Add who asks for what."""
    return (
        board.with_row(Row("Traffic"))
        .with_panel(
            lines(
                "Requests by route",
                "reqps",
                "All requests, probes and scrapes included.",
                (rate("http_requests_total", SERVERS, "route"), "{{route}}"),
            )
        )
        .with_panel(
            lines(
                "Requests for predictions by server",
                "reqps",
                "What the autoscaler compares with its target a pod.",
                (f"instance:inference_requests:rate1m{{{SERVERS}}}", "{{instance}}"),
                limit=TARGET_RATE,
            )
        )
        .with_panel(
            lines(
                "Predictions",
                "ops",
                "Rows, those of batches included.",
                (rate("predictions_total", SERVERS, "job"), "{{job}}"),
            )
        )
    )


def errors(board: Dashboard) -> Dashboard:
    """Add what failed."""
    return (
        board.with_row(Row("Errors"))
        .with_panel(
            lines(
                "Failed, of the requests for predictions",
                "percentunit",
                "Server errors over four windows; two of them together raise an alert.",
                *(
                    (f"max(job:inference_errors:ratio_rate{window}{{{JOBS}}})", window)
                    for window in ("5m", "30m", "1h", "6h")
                ),
                limit=ERROR_OBJECTIVE,
            )
        )
        .with_panel(
            lines(
                "Replies by status",
                "reqps",
                "4xx are refused requests, 5xx are our own errors.",
                (rate("http_requests_total", SERVERS, "status"), "{{status}}"),
            )
        )
        .with_panel(
            lines(
                "Not served",
                "reqps",
                "Requests and connections that the server's own limits refused, by reason.",
                (rate("requests_rejected_total", SERVERS, "reason"), "{{reason}}"),
            )
        )
    )


def latency(board: Dashboard) -> Dashboard:
    """Add how long it takes, and where the time goes."""
    predict = f'{SERVERS},route="/predict"'
    stages = "prediction_stage_seconds"
    return (
        board.with_row(Row("Latency"))
        .with_panel(
            lines(
                "/predict",
                "s",
                "From a request's head to its reply's last byte, in the server.",
                *((quantile(share, predict), f"p{share * 100:g}") for share in (0.5, 0.9, 0.99, 0.999)),
                limit=0.01,
            )
        )
        .with_panel(
            lines(
                "99th percentile by route",
                "s",
                "Over five minutes.",
                (f"job_route:http_request_duration_seconds:p99_rate5m{{{JOBS}}}", "{{route}}"),
            )
        )
        .with_panel(
            heatmap.Panel()
            .title("/predict, all durations")
            .description("How many requests took how long.")
            .datasource(SOURCE)
            .span(8)
            .height(8)
            .calculate(False)
            .with_target(
                query(rate("http_request_duration_seconds_bucket", predict, "le"), "{{le}}").format(
                    PromQueryFormat.HEATMAP
                )
            )
        )
        .with_panel(
            lines(
                "Mean time by stage",
                "s",
                "parse: to a float32 row; wait: for the end of the event loop's turn; features; infer; encode.",
                (
                    f"{rate(f'{stages}_sum', SERVERS, 'stage')} / {rate(f'{stages}_count', SERVERS, 'stage')}",
                    "{{stage}}",
                ),
            )
        )
        .with_panel(
            lines(
                "99th percentile by stage",
                "s",
                "Over five minutes.",
                (f"job_stage:prediction_stage_seconds:p99_rate5m{{{JOBS}}}", "{{stage}}"),
            )
        )
        .with_panel(
            lines(
                "Slow, of /predict",
                "percentunit",
                "Requests beyond 10 ms.",
                (f"job:predict_slow:ratio_rate5m{{{JOBS}}}", "{{job}}"),
                limit=SLOW_OBJECTIVE,
            )
        )
    )


def saturation(board: Dashboard) -> Dashboard:
    """Add how much room is left."""
    return (
        board.with_row(Row("Saturation"))
        .with_panel(
            lines(
                "CPU by server",
                "none",
                "Processors' worth of time.",
                (f"instance:process_cpu_seconds:rate1m{{{SERVERS}}}", "{{instance}}"),
                limit=CPU_LIMIT,
            )
        )
        .with_panel(
            lines(
                "Stopped by the CPU limit",
                "percentunit",
                "Periods of 100 ms in which a pod had used up its limit; kubelet's own figures.",
                ("pod:container_cpu_throttled:ratio_rate5m", "{{pod}}"),
                limit=0.25,
            )
        )
        .with_panel(
            lines(
                "Memory by server",
                "bytes",
                "Resident memory of all its processes; of a pod also what the limit counts, model files among it.",
                (f"sum by (instance) (process_resident_memory_bytes{{{SERVERS}}})", "{{instance}}"),
                (
                    f"max by (pod) (container_memory_working_set_bytes{{{CONTAINERS}}} "
                    f"and on (namespace, pod) up{{{SERVERS}}})",
                    "{{pod}}, as its limit counts",
                ),
                limit=MEMORY_LIMIT,
            )
        )
        .with_panel(
            lines(
                "Requests in flight",
                "none",
                "Those that the fast lane answers within one turn of the event loop do not show.",
                (f"sum by (instance) (requests_in_flight{{{SERVERS}}})", "{{instance}}"),
            )
        )
        .with_panel(
            lines(
                "Workers ready",
                "none",
                "Worker processes that serve a verified model.",
                (f"sum by (instance) (workers_ready{{{SERVERS}}})", "{{instance}}"),
            )
        )
        .with_panel(
            lines(
                "Symbols held",
                "none",
                "Symbols whose bars arrive one by one, and those that made room for others.",
                (f"sum by (instance) (symbols_held{{{SERVERS}}})", "{{instance}}"),
                (f"sum(rate(symbols_evicted_total{{{SERVERS}}}[$__rate_interval]))", "evicted a second"),
            )
        )
    )


def model(board: Dashboard) -> Dashboard:
    """Add what is served, and what it says."""
    labels = rate("predictions_total", SERVERS, "label")
    return (
        board.with_row(Row("Model"))
        .with_panel(
            table.Panel()
            .title("Served")
            .description("Every server should show the same model; an alert tells where they do not.")
            .datasource(SOURCE)
            .span(8)
            .height(8)
            .with_target(query(f"model_info{{{SERVERS}}}").format(PromQueryFormat.TABLE).instant())
            .with_transformation(
                DataTransformerConfig(
                    id_val="filterFieldsByName",
                    options={"include": {"names": ["instance", "name", "version", "engine"]}},
                )
            )
        )
        .with_panel(
            lines(
                "Label mix",
                "percentunit",
                "Share of the predictions by label.",
                (f"{labels} / ignoring (label) group_left sum({labels})", "{{label}}"),
            )
        )
        .with_panel(
            lines(
                "Age of the model",
                "s",
                "Since its export.",
                (f"time() - max by (job) (model_created_timestamp_seconds{{{SERVERS}}})", "{{job}}"),
            )
        )
        .with_panel(
            lines(
                "Servers by model",
                "none",
                "A rollout shows as two lines that cross.",
                (
                    f"count by (name, version, engine) (model_info{{{SERVERS}}})",
                    "{{name}} {{version}}, {{engine}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Workers by engine",
                "none",
                "Which engine runs the model, and why: unavailable, differs and failed are worth a look.",
                (f"sum by (engine, reason) (workers_by_engine{{{SERVERS}}})", "{{engine}}, {{reason}}"),
            )
        )
        .with_panel(
            figure(
                "Kernels compiled while serving",
                "none",
                "More than none: the kernels that were built ahead of time are missing.",
                f"sum(kernel_compilations_total{{{SERVERS}}})",
                1,
            )
        )
    )


def reloads(board: Dashboard) -> Dashboard:
    """Add what reloads came to, and what the last one changed."""
    flips, rows, largest, mean = (
        f"max by (instance, sample) (model_reload_{name}{{{SERVERS}}})"
        for name in ("label_flips", "compared_rows", "max_probability_change", "mean_probability_change")
    )
    legend = "{{instance}}, {{sample}} rows"
    board = board.with_row(Row("Reloads"))
    for panel in (
        lines(
            "Reloads by result",
            "none",
            "Reloads of the model in the time between two points; an alert tells of one that failed.",
            (f"sum by (result) (increase(model_reloads_total{{{SERVERS}}}[$__rate_interval]))", "{{result}}"),
        ),
        lines(
            "Labels that the last reload changed",
            "percentunit",
            "Of the rows compared: golden ones of the new model, and recent ones that callers sent.",
            (f"{flips} / ({rows} > 0)", legend),
        ),
        lines(
            "Probabilities that it changed",
            "none",
            "The largest change of a row's probabilities, and the mean over the rows of each one's largest.",
            (largest, f"largest, {legend}"),
            (mean, f"mean, {legend}"),
        ),
        lines(
            "Rows that it compared",
            "none",
            "Few recent rows, as after a start, say little of what callers will see.",
            (rows, legend),
        ),
    ):
        board = board.with_panel(panel.span(6))
    return board


def drift(board: Dashboard) -> Dashboard:
    """Add how far the rows are from those of the training."""
    return (
        board.with_row(Row("Drift"))
        .with_panel(
            lines(
                "Score",
                "none",
                "Population stability index of the last class's probability. Below 200 rows a server does not tell it.",
                (f"score_drift_psi{{{SERVERS}}}", "{{instance}}"),
                limit=MOST_DRIFT,
            )
        )
        .with_panel(
            lines(
                "Features that moved most",
                "none",
                "The five largest indices. Features in units of the price move with the price.",
                (f"topk(5, max by (feature) (feature_drift_psi{{{SERVERS}}}))", "{{feature}}"),
                limit=MOST_DRIFT,
            )
        )
        .with_panel(
            lines(
                "Rows counted",
                "none",
                "Rows of the window that the indices rest on; the alert wants 1,000 of a server.",
                (f"drift_rows{{{SERVERS}}}", "{{instance}}"),
            )
        )
    )


def build() -> str:
    """Return the dashboard as JSON."""
    every = VariableOption(text="All", value="$__all")
    board = (
        Dashboard("Tickline")
        .uid("tickline")
        .description("Traffic, errors, latency, saturation, model, reloads and drift of the inference server.")
        .tags(["tickline"])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .readonly()
        .with_variable(DatasourceVariable("datasource").label("Source").type("prometheus"))
        .with_variable(
            QueryVariable("job")
            .label("Job")
            .datasource(SOURCE)
            .query("label_values(model_info, job)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .multi(True)
            .current(every)
        )
        .with_variable(
            QueryVariable("instance")
            .label("Server")
            .datasource(SOURCE)
            .query('label_values(model_info{job=~"$job"}, instance)')
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .multi(True)
            .current(every)
        )
    )
    for part in (overview, traffic, errors, latency, saturation, model, reloads, drift):
        board = part(board)
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


if __name__ == "__main__":
    TARGET.write_text(build())
