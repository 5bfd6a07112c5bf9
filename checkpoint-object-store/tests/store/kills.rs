//! Programs that are killed or stopped at any moment: the next one loads all that was acknowledged.
//!
//! 60 kills of each kind; `CHECKPOINTED_KILLS=1000 cargo test --test store kills:: -- --nocapture`
//! for more.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use checkpointed::{CheckpointReader, Checkpointer, Error};
use checkpointed_object_store::ObjectHome;

use crate::server::Server;
use crate::{home, load, random};

fn kills() -> u64 {
    std::env::var("CHECKPOINTED_KILLS").map_or(60, |kills| kills.parse().unwrap())
}

/// Lets a program find the server.
fn with_server<'a>(command: &'a mut Command, server: &Server) -> &'a mut Command {
    command
        .env_remove("CHECKPOINTED_KILLS")
        .env("AWS_ENDPOINT_URL", server.url())
        .env("AWS_ALLOW_HTTP", "true")
        .envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_REGION", "us-east-1")])
        .stdout(Stdio::piped())
}

#[test]
fn a_counter_that_is_killed_loses_no_number() {
    let server = Server::start();
    let tests = std::env::current_exe().unwrap();
    let counter = tests.parent().unwrap().parent().unwrap().join("examples/counter");
    let (mut seen, mut seed) = (0, 11);
    for _ in 0..kills() {
        let mut command = Command::new(&counter);
        command.args(["--url", "s3://bucket/run.ckpt", "--every", "0"]);
        let mut child = with_server(&mut command, &server).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..=random(&mut seed) % 4 {
            let number: u64 = lines.next().unwrap().unwrap().parse().unwrap();
            assert!(number > seen, "{number} after {seen}");
            seen = number;
        }
        child.kill().unwrap();
        for number in lines.map_while(Result::ok).filter_map(|line| line.parse::<u64>().ok()) {
            assert!(number > seen, "{number} after {seen}");
            seen = number;
        }
        child.wait().unwrap();
    }
    println!("{} kills, {seen} numbers", kills());
    let checkpoints = CheckpointReader::<u64>::open_in(home(&server)).unwrap();
    assert!(*checkpoints.generations().unwrap().last().unwrap() >= seen);
}

/// The name of the variable that makes a program of the test: the place that it writes to.
const PLACE: &str = "CHECKPOINTED_TEST_PLACE";

/// A program that adds numbers to its state, and prints each one whose save was acknowledged, until
/// another one has taken over.
fn write_for_ever(url: &str) {
    let mut checkpoints =
        Checkpointer::<Vec<u64>>::builder_in(ObjectHome::from_url(url).unwrap()).open().unwrap();
    let mut state = checkpoints.load_or_default().unwrap();
    // No other program of the test has these numbers.
    let first = u64::from(std::process::id()) << 32 | state.len() as u64;
    for number in first.. {
        state.push(number);
        match checkpoints.save(&state) {
            Ok(_) => println!("saved {number}"),
            Err(Error::TakenOver { .. }) => {
                println!("taken over");
                std::process::exit(0);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A writer in a process of its own, and what it printed.
struct Writer {
    child: Child,
    listener: thread::JoinHandle<()>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Writer {
    fn start(server: &Server) -> Writer {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["kills::two_writers_lose_nothing_to_stops_and_kills", "--exact", "--nocapture"]);
        command.env(PLACE, "s3://bucket/run.ckpt").stderr(Stdio::null());
        let mut child = with_server(&mut command, server).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let listener = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                hears.lock().unwrap().push(line);
            }
        });
        Writer { child, listener, heard }
    }

    fn saved(&self) -> Vec<u64> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter_map(|line| line.split_once("saved ")?.1.parse().ok()).collect()
    }

    /// Waits until it has saved more than so often. False if it ended before.
    fn saves_more_than(&mut self, count: u64) -> bool {
        while self.saved().len() as u64 <= count {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    /// Waits until it has ended. Returns the numbers that it saved, and if it was taken over.
    fn ended(mut self) -> (Vec<u64>, bool) {
        self.child.wait().unwrap();
        let saved = self.saved();
        self.listener.join().unwrap();
        let heard = self.heard.lock().unwrap();
        (saved, heard.iter().any(|line| line.ends_with("taken over")))
    }

    fn kill(mut self) -> Vec<u64> {
        let _ = self.child.kill();
        self.ended().0
    }
}

#[test]
fn two_writers_lose_nothing_to_stops_and_kills() {
    if let Ok(url) = std::env::var(PLACE) {
        return write_for_ever(&url);
    }
    let server = Server::start();
    let (mut saved, mut seed, mut taken, mut stops) = (Vec::new(), 5, 0, 0);
    let mut writer = Writer::start(&server);
    for _ in 0..kills() {
        // One that was taken over by a writer that was killed ends here.
        let has_saved = writer.saves_more_than(random(&mut seed) % 4);
        thread::sleep(Duration::from_micros(random(&mut seed) % 3000));
        if !has_saved || random(&mut seed).is_multiple_of(3) {
            saved.extend(writer.kill());
            writer = Writer::start(&server);
            continue;
        }
        // It stops in the middle of a request, perhaps. Another one takes over, and it goes on.
        writer.signal("STOP");
        stops += 1;
        let mut other = Writer::start(&server);
        match random(&mut seed) % 3 {
            // The other one has only begun.
            0 => thread::sleep(Duration::from_millis(random(&mut seed) % 30)),
            count => assert!(other.saves_more_than(count)),
        }
        writer.signal("CONT");
        if random(&mut seed).is_multiple_of(4) {
            saved.extend(other.kill());
            continue;
        }
        assert!(other.saves_more_than(0));
        let (numbers, was_taken) = writer.ended();
        taken += u64::from(was_taken);
        saved.extend(numbers);
        writer = other;
    }
    saved.extend(writer.kill());
    println!("{} rounds, {stops} stops, {} saves, {taken} times taken over", kills(), saved.len());
    let loaded: Vec<u64> = load(&server).unwrap();
    let lost: Vec<_> = saved.iter().filter(|number| !loaded.contains(number)).collect();
    assert!(lost.is_empty(), "{} of {}: {lost:?}", lost.len(), saved.len());
    assert!(taken > 0 && stops > 0 && saved.len() > 20, "{taken} {stops} {}", saved.len());
}
