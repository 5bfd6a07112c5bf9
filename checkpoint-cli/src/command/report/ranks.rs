//! The costs of the saves of a group, for each of its processes.

use std::time::Duration;

use checkpointed_core::Protection;
use checkpointed_core::inspect::{File, GroupCost, GroupFile};
use serde::Serialize;

use crate::generation::Generation;
use crate::text::seconds;

/// The most tables that are read: the newest.
pub(super) const READ: usize = 100;

/// The name of the state of a table.
const TABLE: &str = "Group";

/// The costs of a group.
#[derive(Debug, Default)]
pub(super) struct Costs {
    /// Those of its processes, by rank.
    pub(super) ranks: Vec<RankCost>,
    /// The number of checkpoints that could not be read. One of them may be the newest.
    pub(super) unread: usize,
}

/// The cost of the saves of one process of a group, in the newest checkpoints that as many
/// processes saved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RankCost {
    /// The number of the process.
    pub(crate) rank: usize,
    /// The number of checkpoints.
    pub(crate) checkpoints: usize,
    /// The length of its newest part, in bytes.
    pub(crate) bytes: u64,
    /// The median of the times that it waited for its part.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) stall: Duration,
    /// The median of the times until its part was on the disk.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) total: Duration,
}

/// Reads the costs from the newest tables; without any where no group saved. The list of
/// generations shows a damaged manifest, and not a damaged table behind a whole one.
pub(super) fn costs(generations: &[Generation], protection: &Protection) -> Costs {
    if !generations.iter().any(|kept| kept.name.as_deref() == Some(TABLE)) {
        return Costs::default();
    }
    let (mut tables, mut unread): (Vec<Vec<GroupCost>>, usize) = (Vec::new(), 0);
    for kept in generations.iter().rev().take(READ) {
        let group = File::open(&kept.path, protection).and_then(|file| GroupFile::of(&file, protection));
        let group = match group {
            Ok(Some(group)) => group,
            // A state of a program that has the name of a table.
            Ok(None) => continue,
            Err(_) => {
                // Retention may have removed it meanwhile.
                unread += usize::from(kept.path.exists());
                continue;
            }
        };
        let costs: Vec<GroupCost> = group.costs().collect();
        if tables.first().is_none_or(|newest| newest.len() == costs.len()) {
            tables.push(costs);
        }
    }
    let size = tables.first().map_or(0, Vec::len);
    let ranks = (0..size)
        .map(|rank| {
            let of_rank: Vec<GroupCost> =
                tables.iter().filter_map(|table| table.get(rank).copied()).collect();
            RankCost {
                rank,
                checkpoints: of_rank.len(),
                bytes: of_rank.first().map_or(0, |cost| cost.bytes),
                stall: median(of_rank.iter().map(|cost| cost.stall)),
                total: median(of_rank.iter().map(|cost| cost.total)),
            }
        })
        .collect();
    Costs { ranks, unread }
}

pub(super) fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The process whose part takes longest.
pub(super) fn slowest(ranks: &[RankCost]) -> Option<&RankCost> {
    ranks.iter().max_by_key(|cost| cost.total)
}
