//! Tests the promises in every state that a power cut can leave, and that a protocol with a fault
//! breaks them.

use std::collections::HashSet;
use std::sync::{Mutex, mpsc};
use std::thread;

use super::campaign::{Broken, Campaign, Effort};
use super::cut::Limits;
use super::mutants;
use super::scenarios;

/// The effort of the test that counts states.
const FULL: Effort = Effort {
    first: Limits { contents: 1 << 12, singles: true, pairs: true, random: 2400 },
    nested: Limits { contents: 16, singles: false, pairs: false, random: 8 },
    restarts: 40,
    kills: true,
};

/// Enough to find every mutant.
const SHORT: Effort = Effort {
    first: Limits { contents: 32, singles: true, pairs: false, random: 10 },
    nested: Limits { contents: 4, singles: false, pairs: false, random: 1 },
    restarts: 10,
    kills: true,
};

#[test]
#[ignore = "takes minutes without optimisation: cargo test --release -p checkpointed-core --lib simulated -- --ignored --nocapture --skip groups"]
fn no_acknowledged_save_is_lost_in_a_million_power_cut_states() {
    let (mut states, mut loads) = (HashSet::new(), HashSet::new());
    let (mut examined, mut restarts) = (0, 0);
    let waiting = Mutex::new(scenarios::ALL.iter());
    thread::scope(|scope| {
        let (done, results) = mpsc::channel();
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (waiting, done) = (&waiting, done.clone());
            scope.spawn(move || {
                // The lock is not held while the scenario runs.
                let next = || waiting.lock().unwrap().next();
                while let Some(scenario) = next() {
                    let effort = if scenario.is_large { SHORT } else { FULL };
                    let mut campaign = Campaign::new(scenario, None, effort);
                    campaign.run().unwrap_or_else(|broken| panic!("{broken:#?}"));
                    let Campaign { examiner, examined, restarts, .. } = campaign;
                    let count = examiner.states.len();
                    let loads: Vec<_> = examiner.loads.into_keys().collect();
                    println!("{count:>9} states, {restarts:>5} restarts: {}", scenario.name);
                    done.send((examiner.states, loads, examined, restarts)).unwrap();
                }
            });
        }
        drop(done);
        for (more, seen, number, starts) in results {
            examined += number;
            restarts += starts;
            states.extend(more);
            loads.extend(seen);
        }
    });
    println!("{examined} states examined, {} of them distinct, after {restarts} restarts too", states.len());
    println!("{} of them differ in what a load can see", loads.len());
    assert!(states.len() >= 1_000_000, "{}", states.len());
}

/// Most faults show without a second start.
const ONE_START: Effort = Effort { restarts: 0, kills: false, ..SHORT };

#[test]
fn every_fault_of_the_protocol_is_found() {
    let mut missed = Vec::new();
    for (mutant, place) in mutants::ALL {
        let scenario = scenarios::ALL.iter().find(|scenario| scenario.name == place).unwrap();
        let run = |effort| Campaign::new(scenario, Some(mutant), effort).run();
        // The thread of a mirror works beside the program, and one order of the two may hide a
        // fault.
        match (0..5).find_map(|_| run(ONE_START).and_then(|()| run(SHORT)).err()) {
            Some(Broken { scenario, after, state, why }) => {
                println!(
                    "{mutant:?}\n  scenario: {scenario}\n  after: {after}\n  state: {state}\n  broken: {why}"
                );
            }
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
