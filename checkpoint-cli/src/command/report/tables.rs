//! The tables of runs and of generations.

use std::fmt::Write as _;
use std::time::SystemTime;

use super::markup::{Text, shortened};
use super::ranks::{READ, RankCost};
use super::runs::ending;
use super::summary::{PastRun, RunEnd, Summary};
use super::units;

/// The most rows of either table. They show the newest; the rest is in the JSON.
const ROWS: usize = 200;

fn left_out(all: usize) -> String {
    match all.saturating_sub(ROWS) {
        0 => String::new(),
        left => format!(
            "<p class=\"more\">{left} more are left out here; <code>ckpt report --json</code> has all.</p>"
        ),
    }
}

/// A table of the runs, newest first.
pub(super) fn runs(summary: &Summary) -> String {
    let mut html = String::from(
        "<div class=\"scroll\"><table><thead><tr><th>Start (UTC)</th><th class=\"n\">Ran</th><th>How it ended</th>\
         <th class=\"n\">From</th><th class=\"n\">Lost before</th><th class=\"n\">Saves</th><th class=\"n\">Saving</th>\
         <th>Host</th><th>Schedule</th></tr></thead><tbody>\n",
    );
    for run in summary.runs.iter().rev().take(ROWS) {
        let (class, text) = ending(&run.end);
        let end = match &run.end {
            RunEnd::Stopped(by) => format!("{text}: {}", shortened(by, 40)),
            _ => text.to_owned(),
        };
        let _ = write!(
            html,
            "<tr><td class=\"t\">{}</td><td class=\"n\">{}</td><td><i class=\"end {class}\"></i>{end}</td>",
            units::minute(units::epoch(run.start)),
            match run.end {
                RunEnd::Failed => format!("≥ {}", units::duration(run.ran)),
                _ => units::duration(run.ran),
            },
        );
        let _ = write!(
            html,
            "<td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>",
            run.restarted_from.map_or_else(|| "–".to_owned(), units::count),
            run.lost.map_or_else(|| "–".to_owned(), |lost| format!("≥ {}", units::duration(lost))),
            saves(run),
            saving(run),
        );
        let _ = writeln!(
            html,
            "<td>{}</td><td>{}</td></tr>",
            shortened(&run.host, 32),
            shortened(&run.schedule, 48)
        );
    }
    html.push_str("</tbody></table></div>");
    html.push_str(&left_out(summary.runs.len()));
    html
}

fn saves(run: &PastRun) -> String {
    match run.failed_saves {
        0 => units::count(run.saves),
        failed => format!("{} <em>+ {} failed</em>", units::count(run.saves), units::count(failed)),
    }
}

fn saving(run: &PastRun) -> String {
    match run.ran.as_secs_f64() {
        ran if ran > 0.0 => units::share((run.stalled.as_secs_f64() / ran).min(1.0)),
        _ => "–".to_owned(),
    }
}

/// A table of the processes of a group, slowest first; empty where there are none.
pub(super) fn ranks(summary: &Summary) -> String {
    if summary.ranks.is_empty() && summary.unread_of_group == 0 {
        return String::new();
    }
    let unread = match summary.unread_of_group {
        0 => String::new(),
        unread => format!(" <strong>{} could not be read.</strong>", units::count(unread as u64)),
    };
    let mut html = format!(
        "<section><h2>Processes</h2>\n<p class=\"about\">Medians over those of the newest {READ} checkpoints that as \
         many processes saved as the newest.{unread}</p>\
         <div class=\"scroll\"><table><thead><tr><th class=\"n\">Rank</th><th class=\"n\">Waits</th>\
         <th class=\"n\">On the disk after</th><th class=\"n\">Size</th></tr></thead><tbody>\n",
    );
    let mut ranks: Vec<&RankCost> = summary.ranks.iter().collect();
    ranks.sort_by_key(|rank| std::cmp::Reverse(rank.total));
    for rank in ranks.iter().take(ROWS) {
        let _ = writeln!(
            html,
            "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            rank.rank,
            units::duration(rank.stall),
            units::duration(rank.total),
            units::bytes(precise(rank.bytes)),
        );
    }
    html.push_str("</tbody></table></div>");
    html.push_str(&left_out(ranks.len()));
    html.push_str("</section>");
    html
}

/// A table of the generations, newest first.
pub(super) fn generations(summary: &Summary, now: SystemTime) -> String {
    if summary.generations.is_empty() {
        return "<p class=\"more\">There are no checkpoints in the directory.</p>".to_owned();
    }
    let mut html = String::from(
        "<div class=\"scroll\"><table><thead><tr><th class=\"n\">Generation</th><th>Saved (UTC)</th>\
         <th class=\"n\">Age</th><th class=\"n\">Size</th><th>State</th><th>Metadata</th></tr></thead><tbody>\n",
    );
    for kept in summary.generations.iter().rev().take(ROWS) {
        let bytes = units::bytes(precise(kept.bytes));
        let _ = write!(html, "<tr><td class=\"n\">{}</td>", units::count(kept.generation));
        let (Some(name), Some(version), Some(created)) = (&kept.name, kept.version, kept.created) else {
            let problem = kept.problem.as_deref().unwrap_or_default();
            let _ = writeln!(
                html,
                "<td>–</td><td class=\"n\">–</td><td class=\"n\">{bytes}</td><td colspan=\"2\"><i class=\"end failed\"></i>{}</td></tr>",
                shortened(problem, 160)
            );
            continue;
        };
        let name = if name.is_empty() { "–".to_owned() } else { shortened(name, 32) };
        let _ = write!(
            html,
            "<td class=\"t\">{}</td><td class=\"n\">{}</td><td class=\"n\">{bytes}</td><td>{name} <small>v{version}</small></td><td>",
            units::minute(units::epoch(created)),
            age(created, now),
        );
        for (name, value) in kept.metadata.iter().take(12) {
            let value = match value {
                checkpointed_core::MetadataValue::Float(number) => units::number(*number),
                other => shortened(&other.to_string(), 40),
            };
            let _ = write!(html, "<span class=\"pair\"><small>{}</small> {value}</span> ", Text(name));
        }
        html.push_str("</td></tr>\n");
    }
    html.push_str("</tbody></table></div>");
    html.push_str(&left_out(summary.generations.len()));
    html
}

/// The age of something; zero if its time is in the future.
pub(super) fn age(time: SystemTime, now: SystemTime) -> String {
    units::duration(std::time::Duration::from_secs(now.duration_since(time).unwrap_or_default().as_secs()))
}

#[allow(clippy::cast_precision_loss, reason = "three digits of it are shown")]
pub(super) fn precise(number: u64) -> f64 {
    number as f64
}
