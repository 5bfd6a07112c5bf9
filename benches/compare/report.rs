//! Prints the tables for people, and writes the same as JSON for programs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::goals::Goals;
use crate::machine::{self, Machine};
use crate::memory::Above;
use crate::options::Options;
use crate::rounds::{Measured, Outcome, quantile};

pub(crate) struct Report {
    machine: Machine,
    start: Value,
    notes: Vec<String>,
    tables: Vec<Value>,
    memory: Value,
}

impl Report {
    pub(crate) fn new(machine: Machine, options: &Options) -> Report {
        let start = json!({
            "mib": options.bytes >> 20,
            "rounds": options.rounds,
            "records": options.records,
            "load_at_start": machine::load(),
        });
        Report { machine, start, notes: Vec::new(), tables: Vec::new(), memory: Value::Null }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.machine.folder.clone()
    }

    pub(crate) fn print_start(&self) {
        for line in self.machine.lines() {
            println!("{line}");
        }
        println!("load         {}", machine::load());
    }

    /// Notes a measurement that was left out, and the reason.
    pub(crate) fn note(&mut self, note: String) {
        println!("note: {note}");
        self.notes.push(note);
    }

    /// Prints one table; its last column compares with the named case.
    pub(crate) fn table(&mut self, title: &str, bytes: usize, measured: &[Measured], reference: &str) {
        let reference = measured.iter().find(|measured| measured.name == reference);
        let unit = reference.map_or(f64::NAN, Measured::median);
        println!("\n{title} ({} MiB)", bytes >> 20);
        println!("  {:<52} {:>10} {:>19} {:>7} {:>7}", "", "median", "half of the rounds", "GB/s", "ratio");
        let mut rows = Vec::new();
        for Measured { name, seconds } in measured {
            let median = quantile(seconds, 0.5);
            let (low, high) = (quantile(seconds, 0.25), quantile(seconds, 0.75));
            #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
            let speed = bytes as f64 / median / 1e9;
            let middle = format!("{:.1} … {:.1}", low * 1e3, high * 1e3);
            println!(
                "  {name:<52} {:>7.1} ms {middle:>19} {speed:>7.2} {:>7.2}",
                median * 1e3,
                median / unit
            );
            rows.push(json!({ "name": name, "median": median, "seconds": seconds, "ratio": median / unit }));
        }
        if let Some(reference) = reference {
            println!("  the ratio is to: {}", reference.name);
        }
        self.tables.push(json!({
            "title": title,
            "bytes": bytes,
            "reference": reference.map(|reference| &reference.name),
            "rows": rows,
        }));
    }

    pub(crate) fn memory(&mut self, above: &Above) {
        let mib = f64::from(1 << 20);
        println!("\nMemory above a state of {} MiB", above.state >> 20);
        println!("  {:<52} {:>7.1} MiB", "ours: durable save", above.save / mib);
        println!("  {:<52} {:>7.1} MiB", "ours: background save", above.background / mib);
        self.memory =
            json!({ "state": above.state, "save": above.save, "background_save": above.background });
    }

    /// Prints the goals, and writes all results.
    pub(crate) fn finish(self, goals: &Goals, path: &Path) -> Outcome<()> {
        println!("\nGoals (ratios of medians; in brackets, half of the rounds)");
        println!("  {:<64} {:>12} {:>14} {:>15}", "", "goal", "reached", "");
        let mut rows = Vec::new();
        for goal in &goals.0 {
            let sign = if goal.at_least { "≥" } else { "≤" };
            let limit = goal.limit.map_or_else(String::new, |limit| format!("{sign} {limit}{}", goal.unit));
            let reached = format!("{:.2}{}", goal.reached, goal.unit);
            let middle =
                goal.middle_half.map_or_else(String::new, |(low, high)| format!("[{low:.2} … {high:.2}]"));
            let verdict = match goal.is_met() {
                Some(true) => "met",
                Some(false) => "NOT MET",
                None => "",
            };
            println!("  {:<64} {limit:>12} {reached:>14} {middle:>15}  {verdict}", goal.what);
            rows.push(json!({
                "what": goal.what,
                "goal": limit,
                "reached": goal.reached,
                "middle_half": goal.middle_half,
                "met": goal.is_met(),
            }));
        }
        println!("\nload at the end {}", machine::load());
        let all = json!({
            "options": self.start,
            "machine": self.machine.json(),
            "load_at_end": machine::load(),
            "notes": self.notes,
            "tables": self.tables,
            "memory": self.memory,
            "goals": rows,
        });
        fs::write(path, serde_json::to_vec_pretty(&all)?)?;
        println!("written to {}", path.display());
        Ok(())
    }
}
