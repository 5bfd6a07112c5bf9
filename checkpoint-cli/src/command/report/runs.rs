//! The strip of runs: the time of each run, its end, and the restart after it.

use std::fmt::Write as _;

use super::summary::{PastRun, RunEnd, Summary};

use super::axis::{Span, Tick};
use super::plot::{self, WIDTH};
use super::units;

/// The page's word for an end, and its colour.
pub(super) fn ending(end: &RunEnd) -> (&'static str, &'static str) {
    match end {
        RunEnd::Completed => ("completed", "completed"),
        RunEnd::Stopped(_) => ("stopped", "stopped"),
        RunEnd::Closed => ("closed", "closed"),
        RunEnd::Failed => ("failed", "failed"),
        _ => ("open", "no end noted yet"),
    }
}

pub(super) fn strip(
    summary: &Summary,
    span: Span,
    ticks: &[Tick],
    failures: &[f64],
    restarts: &[f64],
) -> String {
    let mut html =
        String::from("<figure class=\"plot strip\">\n<figcaption><h3>Runs</h3><ul class=\"legend\">");
    let present = |class: &str| summary.runs.iter().any(|run| ending(&run.end).0 == class);
    for end in
        [RunEnd::Completed, RunEnd::Stopped(String::new()), RunEnd::Closed, RunEnd::Failed, RunEnd::Open]
    {
        let (class, text) = ending(&end);
        if present(class) {
            let _ = write!(html, "<li><i class=\"bar {class}\"></i>{text}</li>");
        }
    }
    if !failures.is_empty() {
        html.push_str("<li><b class=\"failure\">✕</b>failure</li>");
    }
    if !restarts.is_empty() {
        html.push_str("<li><b class=\"restart\">▲</b>restart from a checkpoint</li>");
    }
    html.push_str("</ul></figcaption>\n<div class=\"frame time\"><div class=\"above\">");
    for time in failures {
        let _ = write!(html, "<b class=\"failure\" style=\"left:{:.2}%\">✕</b>", 100.0 * span.place(*time));
    }
    html.push_str("</div>");
    let _ = write!(
        html,
        "<svg viewBox=\"0 0 {WIDTH} 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Runs over time\">"
    );
    for class in ["completed", "stopped", "closed", "failed", "open"] {
        let runs = summary.runs.iter().filter(|run| ending(&run.end).0 == class);
        let path = bars(runs, span);
        if !path.is_empty() {
            let _ = write!(html, "<path class=\"bar {class}\" d=\"{path}\"/>");
        }
    }
    html.push_str("</svg><div class=\"below\">");
    for time in restarts {
        let _ = write!(html, "<b class=\"restart\" style=\"left:{:.2}%\">▲</b>", 100.0 * span.place(*time));
    }
    html.push_str("</div>");
    html.push_str(&plot::ticks(ticks));
    html.push_str("</div>\n</figure>\n");
    html
}

/// Draws a bar for each run, and only one for runs that would overlap.
fn bars<'a>(runs: impl Iterator<Item = &'a PastRun>, span: Span) -> String {
    let mut path = String::new();
    let mut end = f64::NEG_INFINITY;
    for run in runs {
        let place = |time| WIDTH * span.place(units::epoch(time));
        let (from, until) = (place(run.start), place(run.until));
        if until - end > 0.3 {
            // A narrow gap separates two runs that follow each other at once.
            let _ = write!(path, "M{from:.2} 0h{:.2}v10H{from:.2}z", (until - from - 0.6).max(1.0));
            end = until;
        }
    }
    path
}
