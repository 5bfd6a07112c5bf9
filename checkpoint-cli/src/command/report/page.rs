//! The page: its content, in order.

use std::fmt::Write as _;
use std::time::SystemTime;

use checkpointed_core::history::ReasonKind;

use super::summary::{PastSave, RunEnd, Summary};

use super::axis::{Span, Tick, Unit};
use super::markup::{Text, fill};
use super::plot::{Plot, Series, Style};
use super::tables::precise;
use super::{ranks, runs, tables, thin, units};

/// The first bytes of a page, which identify it.
pub(super) const START: &str = "<!DOCTYPE html>\n<!-- ckpt report -->\n";

const PAGE: &str = include_str!("page.html");
const LOOK: &str = include_str!("look.css");
const HOVER: &str = include_str!("hover.js");

/// The most numbers of the metadata that are drawn.
const METRICS: usize = 12;

/// The whole file.
pub(super) fn html(name: &str, summary: &Summary, now: SystemTime) -> String {
    let lead = lead(summary);
    let period = period(summary, now);
    let figures = figures(summary, now).into_iter().fold(String::new(), |mut html, (name, value, detail)| {
        let _ = writeln!(
            html,
            "<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>",
            Text(name),
            Text(&value),
            Text(&detail)
        );
        html
    });
    let shown = thin::chosen(&summary.saves);
    let (plots, points) = plots(summary, &shown);
    let page = fill(
        PAGE,
        &[
            ("title", &Text(name).to_string()),
            ("look", LOOK),
            ("period", &period),
            ("lead", &lead),
            ("figures", &figures),
            ("plots", &plots),
            ("metrics", &metrics(summary)),
            ("runs", &tables::runs(summary)),
            ("ranks", &tables::ranks(summary)),
            ("generations", &tables::generations(summary, now)),
            ("remarks", &remarks(summary, shown.len())),
            ("made", &format!("{} UTC", units::minute(units::epoch(now)))),
            ("version", env!("CARGO_PKG_VERSION")),
            ("points", &points),
            ("hover", HOVER),
        ],
    );
    format!("{START}{page}")
}

/// The figures at the top of the page: a name, a value, and its meaning.
pub(super) fn figures(summary: &Summary, now: SystemTime) -> Vec<(&'static str, String, String)> {
    let totals = &summary.totals;
    let failures = match totals.failures {
        0 => "none failed".to_owned(),
        failures => {
            let restarts = match summary.restarts.len() {
                1 => "1 restart".to_owned(),
                count => format!("{count} restarts"),
            };
            format!("{} failed, {restarts}", units::count(failures))
        }
    };
    let observed = totals.observed.as_secs_f64();
    let lost = match totals.lost.as_secs_f64() {
        0.0 => "nothing was repeated".to_owned(),
        lost if observed > 0.0 => {
            format!("at least; {} of the time, repeated", units::share((lost / observed).min(1.0)))
        }
        _ => "repeated".to_owned(),
    };
    // The history lacks the time of a run after its last sign of life.
    let together = if totals.failures > 0 { "at least, over all runs" } else { "over all runs" };
    let mut figures = vec![
        ("Runs", units::count(totals.runs), failures),
        ("Time observed", units::duration(totals.observed), together.to_owned()),
        ("Work lost", units::duration(totals.lost), lost),
        (
            "Spent saving",
            totals.stalled_share.map_or_else(|| "–".to_owned(), units::share),
            format!("{} in {} saves", units::duration(totals.stalled), units::count(totals.saves)),
        ),
        (
            "MTBF",
            totals.mtbf.map_or_else(|| "–".to_owned(), units::duration),
            match totals.mtbf {
                Some(_) => format!("at least; {} is expected", units::duration(totals.expected_mtbf)),
                None => format!("{} is expected", units::duration(totals.expected_mtbf)),
            },
        ),
    ];
    if let Some(slowest) = ranks::slowest(&summary.ranks) {
        let usual = ranks::median(summary.ranks.iter().map(|rank| rank.total));
        let detail = format!(
            "of {} processes: {} until its part is on the disk, {} at the median process",
            units::count(summary.ranks.len() as u64),
            units::duration(slowest.total),
            units::duration(usual),
        );
        figures.push(("Slowest process", format!("rank {}", slowest.rank), detail));
    }
    if let Some(newest) = summary.generations.last() {
        let age = newest.created.map(|created| tables::age(created, now));
        let size = units::bytes(precise(newest.bytes));
        let number = units::count(newest.generation);
        let detail = match age {
            Some(age) => format!("{age} old, {size}"),
            None => "damaged".to_owned(),
        };
        figures.push(("Newest checkpoint", number, detail));
    }
    figures
}

/// The summary of the page, in a sentence or two.
fn lead(summary: &Summary) -> String {
    let totals = &summary.totals;
    if totals.runs == 0 && summary.saves.is_empty() {
        return "There is no history of a run here.".to_owned();
    }
    let one = |count: u64, one: &str, many: &str| match count {
        1 => format!("One {one}"),
        count => format!("{} {many}", units::count(count)),
    };
    let mut text =
        format!("{} took {} in total", one(totals.runs, "run", "runs"), units::duration(totals.observed));
    let _ = match totals.failures {
        0 => write!(text, ", and none failed."),
        1 => write!(text, "; one failed, which cost {} of work at least.", units::duration(totals.lost)),
        failures => write!(
            text,
            "; {} failed, which cost {} of work at least.",
            units::count(failures),
            units::duration(totals.lost)
        ),
    };
    if let (Some(share), true) = (totals.stalled_share, totals.saves > 0) {
        let _ = write!(text, " Saving took {} of the time.", units::share(share));
    }
    if let Some(miss) = miss(summary.saves.iter()) {
        let _ = write!(text, " {miss}");
    }
    if matches!(summary.runs.last().map(|run| &run.end), Some(RunEnd::Open)) {
        text.push_str(" The end of the last run is not recorded.");
    }
    text
}

/// The period of the history.
fn period(summary: &Summary, now: SystemTime) -> String {
    let made = units::date(units::epoch(now));
    let (Some(first), Some(last)) = (summary.runs.first(), summary.runs.last()) else { return made };
    let (from, until) = (units::date(units::epoch(first.start)), units::date(units::epoch(last.until)));
    if from == until { from } else { format!("{from} – {until}") }
}

/// The plots over time, and their saves for the pointer as JSON.
fn plots(summary: &Summary, saves: &[&PastSave]) -> (String, String) {
    let (Some(first), Some(last)) = (summary.runs.first(), summary.runs.last()) else {
        return ("<p class=\"more\">There is nothing to draw yet.</p>".to_owned(), "[]".to_owned());
    };
    let span = Span::around(units::epoch(first.start), units::epoch(last.until));
    let ticks = span.ticks();
    let apart = |times: Vec<f64>| thin::apart(times, span.until - span.from);
    let failed = summary.runs.iter().filter(|run| run.end == RunEnd::Failed);
    let failures = apart(failed.map(|run| units::epoch(run.until)).collect());
    let restarts = apart(summary.restarts.iter().map(|restart| units::epoch(restart.time)).collect());
    let over_time = |value: fn(&PastSave) -> f64| -> Vec<(f64, f64)> {
        saves.iter().map(|save| (units::epoch(save.time), value(save))).collect()
    };
    let plot = |title, note: &str, unit, series| Plot {
        title,
        note: note.to_owned(),
        unit,
        series,
        span,
        ticks: &ticks,
        failures: &failures,
        restarts: &restarts,
        is_of_time: true,
    };
    let mut html = runs::strip(summary, span, &ticks, &failures, &restarts);
    if !saves.is_empty() {
        html.push_str(&intervals(saves, &plot));
        let stall = over_time(|save| save.stall.as_secs_f64());
        // A save that the program waits for to its end has one dot, not two on top of each other.
        let total = over_time(|save| {
            let is_same = save.total.as_secs_f64() < 1.02 * save.stall.as_secs_f64();
            if is_same { f64::NAN } else { save.total.as_secs_f64() }
        });
        let mut cost =
            vec![Series { name: "the program waits", class: "c1", style: Style::Points, points: stall }];
        if total.iter().any(|(_, value)| value.is_finite()) {
            let (name, class, style) = ("until it is on the disk, meanwhile", "c2", Style::Points);
            cost.insert(0, Series { name, class, style, points: total });
        }
        html.push_str(&plot("Cost of a save", "", Unit::Seconds, cost).html());
        let sizes = over_time(|save| precise(save.bytes));
        let mut size = vec![Series { name: "size", class: "c1", style: Style::Points, points: sizes }];
        if saves.iter().any(|save| save.written < save.bytes) {
            let points =
                over_time(|save| if save.written < save.bytes { precise(save.written) } else { f64::NAN });
            let name = "written, where it is less";
            size.push(Series { name, class: "c2", style: Style::Points, points });
        }
        html.push_str(&plot("Size of a checkpoint", "", Unit::Bytes, size).html());
    }
    let lost: Vec<(f64, f64)> = summary
        .restarts
        .iter()
        .filter_map(|restart| Some((units::epoch(restart.time), restart.lost?.as_secs_f64())))
        .collect();
    if !lost.is_empty() {
        let points = heaviest(lost);
        let stems = Series { name: "lost", class: "c3", style: Style::Stems, points: points.clone() };
        let heads = Series { name: "lost", class: "c3", style: Style::Points, points };
        let note =
            "The work that each restart repeated, at least: from its checkpoint to the last sign of life.";
        let lost = plot("Work lost at each restart", note, Unit::Seconds, vec![stems, heads]);
        html.push_str(&lost.html());
    }
    let points: Vec<(f64, String)> = saves
        .iter()
        .map(|save| ((span.place(units::epoch(save.time)) * 1e4).round() / 1e2, told(save)))
        .collect();
    // Text inside a script must contain no markup.
    let points = serde_json::to_string(&points).unwrap_or_default();
    (html, points.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
}

/// Keeps the greatest of very many losses.
fn heaviest(mut lost: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    lost.sort_by(|one, other| other.1.total_cmp(&one.1));
    lost.truncate(2000);
    lost.sort_by(|one, other| one.0.total_cmp(&other.0));
    lost
}

/// Makes a plot over time of a title, a note, a unit and series.
type Draw<'f, 'a> = dyn Fn(&'static str, &str, Unit, Vec<Series<'a>>) -> Plot<'a> + 'f;

/// The actual intervals, beside the best ones.
fn intervals<'a>(saves: &[&PastSave], plot: &Draw<'_, 'a>) -> String {
    let mut achieved = Vec::new();
    let mut aimed = Vec::new();
    let mut optimal = Vec::new();
    let mut run = None;
    for save in saves {
        let time = units::epoch(save.time);
        if run.is_some_and(|run| run != save.run) {
            // There is no interval between two runs.
            for line in [&mut aimed, &mut optimal] {
                line.push((time, f64::NAN));
            }
        }
        run = Some(save.run);
        achieved.push((time, save.interval.as_secs_f64()));
        aimed.push((time, save.aimed.map_or(f64::NAN, |aimed| aimed.as_secs_f64())));
        optimal.push((time, save.optimal.as_secs_f64()));
    }
    let mut series = vec![Series { name: "achieved", class: "c1", style: Style::Points, points: achieved }];
    if aimed.iter().any(|(_, value)| value.is_finite()) {
        series.push(Series { name: "aimed for", class: "c4", style: Style::Steps, points: aimed });
    }
    series.push(Series { name: "optimal", class: "c2", style: Style::Line, points: optimal });
    let mut note = "The time to compute between two saves, beside the interval with the shortest expected time of the run, \
                    given the cost of a save and the failures until then."
        .to_owned();
    if let Some(miss) = miss(saves.iter().copied()) {
        let _ = write!(note, " {miss}");
    }
    plot("Interval between saves", &note, Unit::Seconds, series).html()
}

/// The deviation of the intervals from the best ones and its cause, in a sentence; `None` if it is
/// small.
pub(super) fn miss<'s>(saves: impl Iterator<Item = &'s PastSave>) -> Option<String> {
    /// A deviation that costs little: the expected time of a run is flat around its optimum.
    const SMALL: f64 = 3.0;
    let saves: Vec<&PastSave> = saves.collect();
    let ratio = |save: &&PastSave| save.optimal.as_secs_f64() / save.interval.as_secs_f64();
    let mut ratios: Vec<f64> = saves.iter().map(ratio).filter(|ratio| ratio.is_finite()).collect();
    ratios.sort_by(f64::total_cmp);
    let median = *ratios.get(ratios.len() / 2)?;
    let asked = saves.iter().filter(|save| save.reason == ReasonKind::Asked).count();
    let times = |ratio: f64| units::number((ratio * 10.0).round() / 10.0);
    let mut text = match median {
        ratio if ratio > SMALL => {
            format!("The program saved {} times as often as would have been best", times(ratio))
        }
        ratio if ratio > 0.0 && ratio < 1.0 / SMALL => {
            format!("The program saved {} times as seldom as would have been best", times(1.0 / ratio))
        }
        _ => return None,
    };
    if asked > 0 {
        let _ = write!(
            text,
            "; {} of {} saves were requested by the program itself, apart from the schedule",
            units::count(asked as u64),
            units::count(saves.len() as u64)
        );
    }
    Some(text + ".")
}

/// A save as a line.
fn told(save: &PastSave) -> String {
    let time = units::epoch(save.time);
    let mut text = format!(
        "{} {} · generation {} · {} · stall {} · total {} · after {}",
        units::day(time),
        units::clock(time, true),
        save.generation,
        units::bytes(precise(save.bytes)),
        units::duration(save.stall),
        units::duration(save.total),
        units::duration(save.interval),
    );
    let _ = write!(text, " (optimal {})", units::duration(save.optimal));
    if save.written < save.bytes {
        let _ = write!(text, " · {} written", units::bytes(precise(save.written)));
    }
    text
}

/// Small plots of the numbers in the metadata of the generations.
fn metrics(summary: &Summary) -> String {
    let metrics: Vec<(&str, Vec<(u64, f64)>)> =
        summary.metrics().into_iter().filter(|(_, points)| points.len() > 1).collect();
    if metrics.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<section><h2>Metadata</h2><p class=\"about\">By generation, for the kept ones.</p><div class=\"small\">\n",
    );
    for (name, points) in metrics.iter().take(METRICS) {
        let points: Vec<(f64, f64)> = points.iter().map(|(at, value)| (precise(*at), *value)).collect();
        let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
        let (room, (from, until)) = ((last.0 - first.0) * 0.03, (first.0, last.0));
        let span = Span { from: from - room, until: until + room };
        let tick = |at: f64| Tick { place: span.place(at), text: format!("{at:.0}"), day: None };
        let missing = points.iter().filter(|(_, value)| !value.is_finite()).count();
        let note = match missing {
            0 => format!("now {}", units::number(last.1)),
            missing => {
                format!("now {}; {missing} of {} are not numbers", units::number(last.1), points.len())
            }
        };
        let name: String = name.chars().take(48).collect();
        let line = Series { name: "", class: "c1", style: Style::Line, points: points.clone() };
        let heads = Series { name: "", class: "c1", style: Style::Points, points };
        let series = vec![line, heads];
        let (ticks, none) = ([tick(from), tick(until)], &[]);
        let (unit, is_of_time) = (Unit::Number, false);
        let (failures, restarts, ticks) = (none, none, &ticks);
        let plot = Plot { title: &name, note, unit, series, span, ticks, failures, restarts, is_of_time };
        html.push_str(&plot.html());
    }
    html.push_str("</div>");
    if let Some(more @ 1..) = metrics.len().checked_sub(METRICS) {
        let _ = write!(html, "<p class=\"more\">{more} more are in <code>ckpt report --json</code>.</p>");
    }
    html.push_str("</section>");
    html
}

/// Remarks on the limits of the numbers.
fn remarks(summary: &Summary, shown: usize) -> String {
    let mut remarks = Vec::new();
    if summary.unknown_lines > 0 {
        remarks.push(format!(
            "{} lines of the history are torn or of a later version, and were skipped.",
            summary.unknown_lines
        ));
    }
    if summary.clock_was_set > 0 {
        remarks.push(format!(
            "The machine's clock was set while runs were observed ({} times); earlier times are computed by the clock of the run.",
            summary.clock_was_set
        ));
    }
    if summary.totals.runs_without_records > 0 {
        remarks.push(format!(
            "{} earlier runs are only in the sums: their records were put aside.",
            summary.totals.runs_without_records
        ));
    }
    if shown < summary.saves.len() {
        remarks.push(format!(
            "Of {} saves {shown} are drawn, with the extremes of each period.",
            units::count(summary.totals.saves)
        ));
    }
    let failed = summary.failed_saves.iter().rev().take(5).map(|failed| {
        format!(
            "{}: generation {} could not be saved: {}",
            units::minute(units::epoch(failed.time)),
            failed.generation,
            super::markup::shortened(&failed.error, 160)
        )
    });
    let remarks: String =
        remarks.into_iter().chain(failed).map(|remark| format!("<li>{remark}</li>")).collect();
    if remarks.is_empty() { remarks } else { format!("<ul>{remarks}</ul>") }
}
