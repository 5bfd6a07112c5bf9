//! The goals of the library, and the results of this run. Every goal is a ratio inside one run.

use crate::memory::Above;
use crate::rounds::{Measured, quantile};
use crate::{counter, ours, raw, records};

#[derive(Default)]
pub(crate) struct Goals(pub(crate) Vec<Goal>);

pub(crate) struct Goal {
    pub(crate) what: String,
    /// The limit; `None` for a figure that only explains another.
    pub(crate) limit: Option<f64>,
    /// True if more is better.
    pub(crate) at_least: bool,
    pub(crate) reached: f64,
    /// The bounds of the middle half of the rounds. Each round gives the ratio of its own two
    /// figures.
    pub(crate) middle_half: Option<(f64, f64)>,
    pub(crate) unit: &'static str,
}

impl Goal {
    pub(crate) fn is_met(&self) -> Option<bool> {
        let limit = self.limit?;
        Some(if self.at_least { self.reached >= limit } else { self.reached <= limit })
    }
}

impl Goals {
    pub(crate) fn saves(&mut self, title: &str, saves: &[Measured]) {
        let mut goal =
            |what, over, under, limit| self.ratio(&format!("{title}: {what}"), saves, over, under, limit);
        goal("recycling save / O_DIRECT overwrite + fdatasync", ours::RECYCLED, raw::OVERWRITE, 0.8);
        goal("recycling save / the same from huge pages", ours::RECYCLED, raw::OVERWRITE_HUGE, 1.15);
        goal("recycling save / new file + write + fsync", ours::RECYCLED, raw::NEW_FILE, 0.75);
        goal("first save / new file + write + fsync", ours::FIRST, raw::NEW_FILE, 0.75);
        goal("stall of a background save / warm memcpy", ours::STALL, raw::COPY, 1.3);
        goal("stall of a background save / memcpy in pieces of 1 MiB", ours::STALL, raw::COPY_PIECES, 0.85);
    }

    pub(crate) fn loads(&mut self, title: &str, loads: &[Measured]) {
        let mut goal =
            |what, over, under, limit| self.ratio(&format!("{title}: {what}"), loads, over, under, limit);
        goal("load / std::fs::read", ours::LOAD, raw::READ_FRESH, 1.0);
        goal("load_into / read into warm memory", ours::LOAD_INTO, raw::READ_WARM, 1.4);
        goal("load, not cached / read in pieces of 1 MiB", ours::LOAD_COLD, raw::READ_PIECES_COLD, 1.2);
        goal("load, not cached / O_DIRECT reads by two threads", ours::LOAD_COLD, raw::READ_DIRECT_COLD, 1.2);
    }

    pub(crate) fn counter(&mut self, saves: &[Measured]) {
        self.ratio("counter: save / the same by hand", saves, ours::RECYCLED, counter::BY_HAND, 0.6);
    }

    pub(crate) fn records(&mut self, saves: &[Measured]) {
        let what = "records: save / bincode into a Vec + write + fsync";
        self.ratio(what, saves, ours::RECYCLED, records::BY_HAND, 0.9);
        let what = "records: stall of a background save / bincode into warm memory";
        self.ratio(what, saves, ours::STALL, records::ENCODE, 1.1);
    }

    pub(crate) fn memory(&mut self, above: &Above) {
        #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
        let state = above.state as f64;
        self.0.push(Goal {
            what: "memory above the state: save".to_owned(),
            limit: Some(16.0),
            at_least: false,
            reached: above.save / f64::from(1 << 20),
            middle_half: None,
            unit: " MiB",
        });
        self.0.push(Goal {
            what: "memory above the state: background save".to_owned(),
            limit: Some(1.05),
            at_least: false,
            reached: above.background / state,
            middle_half: None,
            unit: " states",
        });
    }

    /// Compares the throughput of each size; the usual size comes first.
    pub(crate) fn large(&mut self, sections: &[(usize, Vec<Measured>)]) {
        let [(usual_bytes, usual), (large_bytes, large)] = sections else { return };
        #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
        let more = *large_bytes as f64 / *usual_bytes as f64;
        for (name, short) in
            [(ours::RECYCLED, "recycling save"), (ours::STALL, "stall"), (raw::OVERWRITE, "raw O_DIRECT")]
        {
            let (Some(usual), Some(large)) = (find(usual, name), find(large, name)) else { continue };
            self.0.push(Goal {
                what: format!("throughput at 4 GiB / at {} MiB: {short}", usual_bytes >> 20),
                // The raw limit has no goal: it shows the disk itself.
                limit: (name != raw::OVERWRITE).then_some(0.9),
                at_least: true,
                reached: usual.median() * more / large.median(),
                middle_half: None,
                unit: "",
            });
        }
    }

    fn ratio(&mut self, what: &str, measured: &[Measured], over: &str, under: &str, limit: f64) {
        let (Some(over), Some(under)) = (find(measured, over), find(measured, under)) else { return };
        let pairs: Vec<f64> = over.seconds.iter().zip(&under.seconds).map(|(one, two)| one / two).collect();
        self.0.push(Goal {
            what: what.to_owned(),
            limit: Some(limit),
            at_least: false,
            reached: over.median() / under.median(),
            middle_half: Some((quantile(&pairs, 0.25), quantile(&pairs, 0.75))),
            unit: "",
        });
    }
}

fn find<'a>(measured: &'a [Measured], name: &str) -> Option<&'a Measured> {
    measured.iter().find(|measured| measured.name == name)
}
