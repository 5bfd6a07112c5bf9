//! Servers that others wrote. One that keeps conditions must keep all promises. Any other must be
//! refused when a place is opened.
//!
//! A server that is not installed is skipped, with a message that says how to get it.

mod relay;
mod servers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use checkpointed::{CheckpointReader, Checkpointer, Error, Mirror, checkpointed};
use futures_util::{TryStreamExt, future};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::groups;
use servers::Foreign;

/// A state with a field to load alone.
#[checkpointed]
#[derive(Debug, PartialEq)]
struct Model {
    step: u64,
    weights: Vec<f32>,
}

/// A model of `length` numbers after a step.
fn model(step: u64, length: usize) -> Model {
    Model { step, weights: (0..length).map(|place| place as f32 + step as f32).collect() }
}

/// Two parts: S3 has none of less than 5 MiB.
const LONG: usize = (5 << 18) + 1000;

fn open(server: &Foreign, prefix: &str) -> Result<Checkpointer<Model>, Error> {
    Checkpointer::builder_in(server.home(prefix)).open()
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// The names of the objects under a prefix, from the store itself.
fn keys(server: &Foreign, prefix: &str) -> BTreeSet<String> {
    let (store, prefix) = (server.store(), Path::from(prefix));
    let objects = wait(async { store.list(Some(&prefix)).try_collect::<Vec<_>>().await }).unwrap();
    let names = objects.iter().map(|object| object.location.prefix_match(&prefix).unwrap());
    names.map(|parts| parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/")).collect()
}

fn name(generation: u64, epoch: u64) -> String {
    format!("{generation:020}-{epoch:06}.ckpt")
}

fn keeps_every_promise(server: &Foreign) {
    saves_loads_and_removes(server);
    of_many_creations_one_succeeds(server);
    of_two_runs_the_later_has_the_place(server);
    joins_groups(server);
    is_a_mirror(server);
    #[cfg(feature = "cli")]
    serves_the_tool(server);
    loses_no_save_with_an_answer(server);
}

fn saves_loads_and_removes(server: &Foreign) {
    const PREFIX: &str = "saves/run.ckpt";
    let mut run = open(server, PREFIX).unwrap();
    assert_eq!(run.load().unwrap(), None);
    for step in 1..=4 {
        run.save(&model(step, 10)).unwrap();
        if step == 1 {
            run.pin(1).unwrap();
        }
    }
    run.save(&model(5, LONG)).unwrap();
    assert_eq!(run.generations().unwrap(), [1, 4, 5]);
    drop(run);
    let pin = format!("{:020}.pin", 1);
    let left = [".claims/000001".to_owned(), name(1, 1), pin, name(4, 1), name(5, 1)];
    assert_eq!(keys(server, PREFIX), BTreeSet::from(left));

    let mut reader = CheckpointReader::<Model>::open_in(server.home(PREFIX)).unwrap();
    assert!(reader.load().unwrap() == Some(model(5, LONG)));
    assert_eq!(reader.load_field::<u64>("step").unwrap(), Some(5));
    assert!(reader.load_field::<Vec<f32>>("weights").unwrap() == Some(model(5, LONG).weights));
    assert_eq!(reader.load_generation(4).unwrap(), model(4, 10));
    let mut run = open(server, PREFIX).unwrap();
    assert!(run.load().unwrap() == Some(model(5, LONG)));
    run.unpin(1).unwrap();
    run.save(&model(6, 10)).unwrap();
    run.discard_newer(5).unwrap();
    assert_eq!(run.save(&model(7, 10)).unwrap().generation, 7);
    drop(run);
    // A claim has the number that was discarded. The one before it goes with the next objects.
    let left = [".claims/000002".to_owned(), ".claims/000003".to_owned(), name(5, 1), name(7, 3)];
    assert_eq!(keys(server, PREFIX), BTreeSet::from(left));
}

/// A claim means nothing on a server that looks first and writes then.
fn of_many_creations_one_succeeds(server: &Foreign) {
    const AT_ONCE: usize = 8;
    let store = server.store();
    for round in 0..3 {
        let key = Path::from(format!("created/{round}"));
        let create = |number: usize| {
            let (store, key): (Arc<dyn ObjectStore>, _) = (Arc::clone(&store), &key);
            let body = PutPayload::from(number.to_string());
            async move { store.put_opts(key, body, PutMode::Create.into()).await }
        };
        let (outcomes, found) = wait(async {
            let outcomes = future::join_all((0..AT_ONCE).map(create)).await;
            let found = async { store.get(&key).await?.bytes().await }.await;
            (outcomes, found.unwrap())
        });
        let winners: Vec<String> = (0..AT_ONCE)
            .filter(|number| outcomes[*number].is_ok())
            .map(|number| number.to_string())
            .collect();
        assert_eq!(winners, [String::from_utf8_lossy(&found)], "{outcomes:#?}");
    }
}

fn of_two_runs_the_later_has_the_place(server: &Foreign) {
    const PREFIX: &str = "two/run.ckpt";
    let mut first = open(server, PREFIX).unwrap();
    first.save(&model(1, 10)).unwrap();
    let mut second = open(server, PREFIX).unwrap();
    assert_eq!(second.load().unwrap(), Some(model(1, 10)));
    for _ in 0..2 {
        let error = first.save(&model(2, 10)).unwrap_err();
        assert!(matches!(error, Error::TakenOver { .. }), "{error}");
    }
    second.save(&model(3, 10)).unwrap();
    drop((first, second));
    let mut reader = CheckpointReader::<Model>::open_in(server.home(PREFIX)).unwrap();
    assert_eq!(reader.load().unwrap(), Some(model(3, 10)));
}

fn joins_groups(server: &Foreign) {
    groups::keep_their_promises(|prefix| server.home(prefix));
    let keys = keys(server, "group.ckpt");
    let saved: BTreeSet<&String> = keys.iter().filter(|key| key.ends_with(".ckpt")).collect();
    let of_each = [name(3, 1), name(4, 2)];
    let parts =
        (0..groups::RANKS).flat_map(|rank| of_each.clone().map(|name| format!("ranks/{rank:06}/{name}")));
    let expected: BTreeSet<String> = of_each.clone().into_iter().chain(parts).collect();
    assert_eq!(saved, expected.iter().collect());
}

fn is_a_mirror(server: &Foreign) {
    let open = |near: &str| {
        let mirror = Mirror::in_home(server.home("mirror/run.ckpt"));
        Checkpointer::<Model>::builder(server.near(near)).mirror(mirror).open().unwrap()
    };
    let mut run = open("first.ckpt");
    for (step, length) in [(1, 10), (2, LONG)] {
        run.save(&model(step, length)).unwrap();
        run.wait_for_mirror(Duration::from_secs(600)).unwrap();
    }
    assert_eq!(run.mirrored(), Some(2));
    drop(run);
    let mut run = open("second.ckpt");
    assert!(run.load().unwrap() == Some(model(2, LONG)));
    let finished = run.finish(&model(3, 10)).unwrap();
    assert_eq!(finished.mirrored, Some(3));
}

#[cfg(feature = "cli")]
fn serves_the_tool(server: &Foreign) {
    let mut run =
        Checkpointer::<Model>::builder_in(server.home("tool/run.ckpt")).keep_last(9).open().unwrap();
    for step in 1..=3 {
        run.save(&model(step, 10)).unwrap();
    }
    let url = server.url("tool/run.ckpt");
    assert_eq!(server.ckpt(&["--json", "list", &url]).matches("\"generation\"").count(), 3);
    server.ckpt(&["verify", &url]);
    assert!(server.ckpt(&["show", &format!("{url}@2"), "step"]).contains('2'));
    let (near, far) = (server.near("tool.ckpt"), server.url("tool/copy.ckpt"));
    server.ckpt(&["copy", &url, near.to_str().unwrap()]);
    server.ckpt(&["copy", near.to_str().unwrap(), &far]);
    server.ckpt(&["verify", &far]);
    run.save(&model(4, 10)).unwrap();
    server.ckpt(&["prune", &url, "--yes", "--take-over", "--keep-last", "1"]);
    assert!(matches!(run.save(&model(5, 10)).unwrap_err(), Error::TakenOver { .. }));
}

/// Loses the answer of each request of a run, one at a time, and then of each of a long save.
fn loses_no_save_with_an_answer(server: &Foreign) {
    let open = || open(server, "lost/run.ckpt");
    let mut newest = 0;
    for lost in 0.. {
        server.relay.lose_answer_after(lost);
        for saves in [3, 1] {
            let mut run = open().unwrap_or_else(|error| panic!("answer {lost}: {error}"));
            let loaded = run.load().unwrap().map_or(0, |model| model.step);
            assert_eq!(loaded, newest, "answer {lost}");
            for step in newest + 1..=newest + saves {
                let saved = run.save(&model(step, 10));
                assert!(saved.is_ok(), "answer {lost}, step {step}: {saved:?}");
            }
            newest += saves;
        }
        if server.relay.lose_none() {
            // The runs have requests enough for each kind.
            assert!(lost > 20, "{lost} requests");
            break;
        }
    }
    let mut run = self::open(server, "long/run.ckpt").unwrap();
    for lost in 0.. {
        server.relay.lose_answer_after(lost);
        let saved = run.save(&model(lost as u64, LONG));
        assert!(saved.is_ok(), "answer {lost}: {saved:?}");
        if server.relay.lose_none() {
            assert!(lost > 4, "{lost} requests");
            assert!(run.load().unwrap() == Some(model(lost as u64, LONG)));
            break;
        }
    }
}

/// A server without conditions is refused, by the word that says why. A later version may keep
/// them.
#[track_caller]
fn is_refused_or_keeps_every_promise(server: &Foreign) {
    // One that looks first, and writes a little later, may be as quick as that once.
    let places = (0..3).map(|place| open(server, &format!("refused/{place}/run.ckpt")));
    match places.filter_map(Result::err).next() {
        None => keeps_every_promise(server),
        Some(error @ Error::InvalidSetting { .. }) => {
            assert!(error.to_string().contains("ignores `If-None-Match`"), "{error}");
            println!("{} is refused: {error}", server.name);
        }
        Some(error) => panic!("{}: {error}", server.name),
    }
}

#[test]
fn moto_keeps_the_promises() {
    servers::moto().iter().for_each(keeps_every_promise);
}

#[test]
fn seaweedfs_keeps_the_promises() {
    servers::seaweedfs().iter().for_each(keeps_every_promise);
}

#[test]
fn s3s_fs_is_refused() {
    servers::s3s_fs().iter().for_each(is_refused_or_keeps_every_promise);
}

#[test]
fn rclone_is_refused() {
    servers::rclone().iter().for_each(is_refused_or_keeps_every_promise);
}

#[test]
fn s3rver_is_refused() {
    servers::s3rver().iter().for_each(is_refused_or_keeps_every_promise);
}

#[cfg(feature = "azure")]
#[test]
fn the_emulator_of_azure_keeps_the_promises() {
    servers::azurite().iter().for_each(keeps_every_promise);
}

/// It has another protocol of the two that the store has.
#[cfg(feature = "gcp")]
#[test]
fn an_emulator_of_google_without_its_xml_is_an_error() {
    if let Some(server) = servers::gcp_storage_emulator() {
        let error = open(&server, "run.ckpt").unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert!(error.to_string().contains("501"), "{error}");
    }
}

/// No emulator of Google that a registry has speaks the protocol that programs use with it.
#[cfg(feature = "gcp")]
#[test]
fn the_protocol_of_google_keeps_the_promises() {
    let server = crate::server::Server::start();
    keeps_every_promise(&servers::google(&server));
    server.ignore_conditions();
    let error = open(&servers::google(&server), "ignored/run.ckpt").unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
}

/// `CHECKPOINTED_SERVER=127.0.0.1:9000 cargo test --test store any_server -- --ignored --nocapture`
#[test]
#[ignore = "it asks for a server that runs"]
fn any_server_keeps_the_promises_or_is_refused() {
    servers::any().iter().for_each(is_refused_or_keeps_every_promise);
}
