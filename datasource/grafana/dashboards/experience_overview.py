"""What contacts do in the chosen experiences."""

from datasource.grafana import panels as p
from datasource.grafana.dashboard import choice, dashboard, data_as_of, grid, heading, variable
from datasource.grafana.panels import LOOKS, override
from datasource.grafana.queries import NUMBER, SPAN, STRING, TIME, Json, ask, export, scope, target
from datasource.grafana.texts import Words

TILES = ("chat_starts", "sessions", "sessions_with_conversation", "bounces",
         "screen_time", "live_chats", "handling_time_total", "handling_time_average")
SECOND = ("nps", "bounce_rate", "participants", "conversations")
FUNNEL = ("sessions", "sessions_with_conversation", "new_customers",
          "web_push_single_opt_ins", "web_push_double_opt_ins",
          "reminder_single_opt_ins", "reminder_double_opt_ins")
CHOSEN = ["sessions", "sessions_with_conversation", "new_customers", "web_push_double_opt_ins"]
SEGMENTS = ("nps_promoters", "nps_passives", "nps_detractors")
LOGINS = ("pins_succeeded", "pins_failed")


def build(words: Words) -> Json:
    """The dashboard in one language."""
    shown = {*TILES, *SECOND, *FUNNEL, *SEGMENTS, *LOGINS, "nps_scores", "data_entered"}
    family = [k for k, kpi in words.catalog.kpis.items() if kpi.family == "experience"]
    # The frames go by their KPIs' ids.
    chosen = [{"id": "filterByRefId", "options": {"include": "/^(?:${kpi:pipe})$/"}}]
    over_time = p.lines(words, words["over_time"], FUNNEL, transformations=chosen)
    cumulated = p.lines(words, words["cumulated"], FUNNEL, "cumulative", transformations=chosen)
    data = p.groups(words, words.title("data_entered"), "data_entered", "field", {})
    platforms = p.groups(words, words["platforms"], "sessions", "device", LOOKS["devices"])
    panels = grid(
        (2, [(24, data_as_of(words))]),
        (4, [(6, p.tile(words, kpi)) for kpi in TILES]),
        (9, [(12, over_time), (12, cumulated)]),
        (10, [(10, p.totals(words, "bargauge", words["funnel"], FUNNEL)), (6, platforms),
              (8, p.against_before(words, "sessions"))]),
        (4, [(6, p.tile(words, kpi)) for kpi in SECOND]),
        (9, [(6, p.totals(words, "piechart", words["segments"], SEGMENTS)), (8, _scores(words)),
             (10, _answers(words))]),
        (8, [(6, p.totals(words, "piechart", words["logins"], LOGINS)), (8, data),
             (10, p.against_before(words, "bounce_rate"))]),
        heading(words["messaging"]),
        (8, [(8, p.lines(words, words.title("messages"), ["messages"])),
             (8, p.lines(words, words.title("active_conversations"), ["active_conversations"])),
             (8, p.months(words, "mecs"))]),
        heading(words["advanced"], (4, [(6, p.tile(words, k)) for k in family if k not in shown])),
    )
    folder = variable(words, "folder", "tenant", **LOOKS["several"])
    experience = variable(words, "experience", "tenant", "folder", **LOOKS["several"])
    return dashboard(
        words, "experience_overview", "experience", panels, folder, experience,
        choice("kpi", words["kpis"], {kpi: words.title(kpi) for kpi in FUNNEL}, CHOSEN))


def _scores(words: Words) -> Json:
    """How often each score was given, in its segment's colour; scores that nobody gave too."""
    given = ask(words, "nps_scores", "total", {"score": NUMBER, "value": NUMBER}, by=["score"])
    columns = dict.fromkeys(("score", "segment", "value"), NUMBER)
    zeros = target("", {}, columns, "zeros", source="inline", data=LOOKS["zeros"])
    unseen = dict.fromkeys(("viz", "legend", "tooltip"), True)
    segment = {"custom__hideFrom": unseen, **p.bands(LOOKS["bands"]["segment (max)"])}
    return p.panel(
        words, "barchart", words.title("nps_scores"), ["nps_scores"], [given, zeros],
        transformations=LOOKS["scores"],
        overrides=[override("value (sum)", displayName=words.title("nps_answers")),
                   override("segment (max)", **segment)])


def _answers(words: Words) -> Json:
    """The answers with a text, newest first; each segment's can be downloaded."""
    columns = {"time": TIME, "score": NUMBER, "text": STRING}
    body = {"list": "nps_answers", **SPAN, "filters": scope(words, "nps_answers")}
    asked = target("/rows", body, columns)
    segments = [export(words, "nps_answers", words.title(f"nps_{name}"), asked, f"&segment={name}")
                for name in ("detractors", "passives", "promoters")]
    titles = (words["time"], words.dim("score"), words["text"])
    return p.panel(
        words, "table", words.title("nps_answers"), ["nps_answers"], [asked], links=segments,
        transformations=[p.order(*columns)],
        overrides=[override("score", **p.bands(LOOKS["bands"]["score"])),
                   *(override(name, displayName=title, **LOOKS["answers"][name])
                     for name, title in zip(columns, titles, strict=True))])
