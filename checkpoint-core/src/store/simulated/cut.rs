//! Makes all states that a power cut may leave, at each moment of a record.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::disk::{Event, write_at};
use super::image::{Data, Image, Names, Node, hash_of};

/// The length of the piece of a file that reaches the disk whole or not at all. Drives have at
/// least 512 bytes; fewer give more places where a short file can be torn, as a longer file has
/// with larger sectors.
const SECTOR: usize = 64;

/// Limits the number of states where all would be too many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Up to this number of contents of a file, all are made. Above: all old, all new, …
    pub(super) contents: usize,
    /// … each sector alone, each prefix, each suffix, …
    pub(super) singles: bool,
    /// … each pair of sectors, …
    pub(super) pairs: bool,
    /// … and this number of random ones, from a fixed seed.
    pub(super) random: usize,
}

/// The content that a disk surely has, and the content that it may have.
#[derive(Clone, Debug)]
pub(super) struct Cut(Vec<Uncertain>);

#[derive(Clone, Debug)]
enum Uncertain {
    File { durable: Arc<Data>, since: Vec<Change> },
    Directory { durable: Arc<Names>, since: Vec<Event> },
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Arc<[u8]> },
    Length(usize),
}

impl Cut {
    /// The disk before any event.
    pub(super) fn new(base: &Image) -> Cut {
        let nodes = base.nodes.iter().map(|node| match node {
            Node::File(data) => Uncertain::File { durable: Arc::clone(data), since: Vec::new() },
            Node::Directory(names) => Uncertain::Directory { durable: Arc::clone(names), since: Vec::new() },
        });
        Cut(nodes.collect())
    }

    /// Applies an event. Returns true if the disk can be in new states.
    pub(super) fn advance(&mut self, event: &Event) -> bool {
        match event {
            Event::Link { directory, inode, is_directory, .. } => {
                if *inode == self.0.len() {
                    self.0.push(match is_directory {
                        true => Uncertain::Directory { durable: Arc::default(), since: Vec::new() },
                        false => Uncertain::File { durable: Arc::default(), since: Vec::new() },
                    });
                }
                self.rename(*directory, event)
            }
            Event::Rename { directory, .. } | Event::Remove { directory, .. } => {
                self.rename(*directory, event)
            }
            Event::SyncDirectory { directory } => {
                if let Uncertain::Directory { durable, since } = &mut self.0[*directory] {
                    since.drain(..).for_each(|event| change(Arc::make_mut(durable), &event));
                }
            }
            Event::Write { inode, offset, bytes } => {
                self.write(*inode, Change::Write { offset: *offset, bytes: Arc::clone(bytes) })
            }
            Event::SetLength { inode, length } => self.write(*inode, Change::Length(*length)),
            Event::SyncFile { inode } => {
                if let Uncertain::File { durable, since } = &mut self.0[*inode] {
                    let mut bytes = durable.bytes.clone();
                    since.drain(..).for_each(|change| change.apply(&mut bytes));
                    *durable = Data::new(bytes);
                }
            }
            Event::Lose { inode } => {
                if let Uncertain::File { since, .. } = &mut self.0[*inode] {
                    since.clear();
                }
            }
            Event::Began { .. } | Event::Acknowledged { .. } | Event::Keeps(_) | Event::Rewinds { .. } => {
                return false;
            }
        }
        true
    }

    fn rename(&mut self, directory: usize, event: &Event) {
        if let Uncertain::Directory { since, .. } = &mut self.0[directory] {
            since.push(event.clone());
        }
    }

    fn write(&mut self, inode: usize, change: Change) {
        if let Uncertain::File { since, .. } = &mut self.0[inode] {
            since.push(change);
        }
    }

    /// Makes the states that the disk may be in when the power comes back.
    pub(super) fn states(&self, limits: Limits, random: &mut Random, mut visit: impl FnMut(Image)) {
        let directories: Vec<Option<Vec<Node>>> = self
            .0
            .iter()
            .map(|node| match node {
                Uncertain::Directory { durable, since } => Some(names(durable, since, random)),
                Uncertain::File { .. } => None,
            })
            .collect();
        // A file without a name in any state, as that of a save that failed long ago, makes no two
        // states different.
        let named: BTreeSet<usize> = directories
            .iter()
            .flatten()
            .flatten()
            .filter_map(|node| match node {
                Node::Directory(names) => Some(names.values().copied()),
                Node::File(_) => None,
            })
            .flatten()
            .collect();
        let choices: Vec<Vec<Node>> = directories
            .into_iter()
            .zip(self.0.iter().enumerate())
            .map(|(names, (inode, node))| match (names, node) {
                (Some(names), _) => names,
                (None, Uncertain::File { durable, since }) if !since.is_empty() && named.contains(&inode) => {
                    contents(&durable.bytes, since, limits, random)
                }
                (None, Uncertain::File { durable, .. }) => vec![Node::File(Arc::clone(durable))],
                (None, Uncertain::Directory { .. }) => Vec::new(),
            })
            .collect();
        let mut image = Image { nodes: choices.iter().map(|nodes| nodes[0].clone()).collect() };
        let mut chosen = vec![0; choices.len()];
        loop {
            visit(image.clone());
            // The next combination, counted like a number whose digits are the choices.
            let Some(place) = (0..choices.len()).find(|place| chosen[*place] + 1 < choices[*place].len())
            else {
                return;
            };
            for lower in 0..place {
                chosen[lower] = 0;
                image.nodes[lower] = choices[lower][0].clone();
            }
            chosen[place] += 1;
            image.nodes[place] = choices[place][chosen[place]].clone();
        }
    }
}

impl Change {
    fn apply(&self, all: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => write_at(all, *offset, bytes),
            Change::Length(length) => all.resize(*length, 0),
        }
    }
}

/// Applies an event to a directory. Where an earlier change is missing, so is the change that would
/// have undone it.
fn change(names: &mut Names, event: &Event) {
    match event {
        Event::Link { name, inode, .. } => {
            names.insert(Arc::clone(name), *inode);
        }
        Event::Rename { from, to, inode, .. } => {
            if names.get(from) == Some(inode) {
                names.remove(from);
            }
            names.insert(Arc::clone(to), *inode);
        }
        Event::Remove { name, inode, .. } if names.get(name) == Some(inode) => {
            names.remove(name);
        }
        _ => {}
    }
}

/// Returns every subset of the changes of a directory.
fn names(durable: &Arc<Names>, since: &[Event], random: &mut Random) -> Vec<Node> {
    /// The number of changes above which there are only: every prefix, each one missing, each one
    /// alone, and random subsets.
    const ALL: usize = 8;
    let every = 1_u64.checked_shl(u32::try_from(since.len()).unwrap()).map_or(u64::MAX, |bit| bit - 1);
    let subsets: Vec<u64> = if since.len() <= ALL {
        (0..=every).collect()
    } else {
        let one = |place: usize| 1_u64 << place;
        let places = 0..since.len();
        let prefixes = places.clone().map(|place| one(place) - 1).chain([every]);
        let singles = places.clone().map(one).chain(places.map(|place| every & !one(place)));
        prefixes.chain(singles).chain((0..256).map(|_| random.next() & every)).collect()
    };
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for subset in subsets {
        let mut names = Names::clone(durable);
        let chosen = since.iter().enumerate().filter(|(place, _)| subset >> place & 1 == 1);
        chosen.for_each(|(_, event)| change(&mut names, event));
        if seen.insert(names.clone()) {
            found.push(Node::Directory(Arc::new(names)));
        }
    }
    found
}

/// The possible contents of a file: each sector old, new, anything in between, or zero where the
/// file grew; each length that it had.
fn contents(durable: &[u8], since: &[Change], limits: Limits, random: &mut Random) -> Vec<Node> {
    let mut versions = vec![durable.to_vec()];
    for change in since {
        let mut next = versions.last().cloned().unwrap_or_default();
        change.apply(&mut next);
        versions.push(next);
    }
    let lengths: BTreeSet<usize> = versions.iter().map(Vec::len).collect();
    let longest = lengths.last().copied().unwrap_or(0);
    let sectors: Vec<Vec<Vec<u8>>> = (0..longest.div_ceil(SECTOR))
        .map(|number| {
            let mut found = Vec::new();
            let of = |version: &Vec<u8>| {
                let mut sector = version.get(number * SECTOR..).unwrap_or_default().to_vec();
                sector.resize(SECTOR, 0);
                sector
            };
            // The newest is last: it counts as new in a choice between old and new.
            for sector in versions.iter().map(of) {
                found.retain(|other| *other != sector);
                found.push(sector);
            }
            let old = of(&versions[0]);
            if number * SECTOR >= durable.len() && !found.contains(&vec![0; SECTOR]) {
                found.insert(0, vec![0; SECTOR]);
            } else if let Some(place) = found.iter().position(|sector| *sector == old) {
                found.swap(0, place);
            }
            found
        })
        .collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for choice in choices(&sectors, lengths.len(), limits, random) {
        let bytes: Vec<u8> =
            choice.iter().zip(&sectors).flat_map(|(chosen, versions)| &versions[*chosen]).copied().collect();
        for length in &lengths {
            let bytes = &bytes[..*length];
            if seen.insert(hash_of(bytes)) {
                found.push(Node::File(Data::new(bytes.to_vec())));
            }
        }
    }
    found
}

/// Choices of a version of each sector, as many as the limits allow.
fn choices(sectors: &[Vec<Vec<u8>>], lengths: usize, limits: Limits, random: &mut Random) -> Vec<Vec<usize>> {
    let counts: Vec<usize> = sectors.iter().map(Vec::len).collect();
    let all = counts.iter().try_fold(lengths, |product, count| product.checked_mul(*count));
    let old = vec![0; counts.len()];
    if all.is_some_and(|all| all <= limits.contents) {
        let mut found = vec![old];
        for (place, count) in counts.iter().enumerate() {
            for number in 0..found.len() {
                for version in 1..*count {
                    let mut choice = found[number].clone();
                    choice[place] = version;
                    found.push(choice);
                }
            }
        }
        return found;
    }
    let new: Vec<usize> = counts.iter().map(|count| count - 1).collect();
    let mut found = vec![old.clone(), new.clone()];
    for place in (0..counts.len()).filter(|_| limits.singles) {
        for version in 0..counts[place] {
            found.extend([&old, &new].map(|choice| with(choice, place, version)));
        }
        found.push([&new[..place], &old[place..]].concat());
        found.push([&old[..place], &new[place..]].concat());
        for other in (0..place).filter(|_| limits.pairs) {
            found.push(with(&with(&old, place, new[place]), other, new[other]));
            found.push(with(&with(&new, place, 0), other, 0));
        }
    }
    for _ in 0..limits.random {
        found.push(counts.iter().map(|count| random.below(*count)).collect());
    }
    found
}

fn with(choice: &[usize], place: usize, version: usize) -> Vec<usize> {
    let mut choice = choice.to_vec();
    choice[place] = version;
    choice
}

/// Pseudorandom numbers that are the same in each run (SplitMix64).
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }
}
