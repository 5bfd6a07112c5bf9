//! More of the files in `tests/compatibility/`: outputs, groups, histories, protection, and the
//! names in a directory.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use checkpointed::group::{Sharded, Shared, Threads};
use checkpointed::inspect::{self, File, GroupFile, Keeping, Kind};
use checkpointed::{
    Appended, CheckpointReader, Checkpointer, ConfigChanges, Error, Key, Metadata, MetadataValue, Metric,
    Mirror, Pipeline, Protection, Schedule, Scopes, checkpointed, history, pipeline,
};
use serde::{Deserialize, Serialize};

use crate::common::age::{IDENTITY, RECIPIENT};
use crate::compatibility::{kept, missing, tidy};

/// Writes the files that are not there.
pub(crate) fn add_what_is_missing() {
    configuration::add();
    outputs::add();
    outputs_of_scopes::add();
    counted::add();
    group::add();
    names::add();
    protected::add();
    own_forms::add();
    long_names::add();
    mirror::add();
    steps::add();
}

mod configuration {
    use super::*;

    #[derive(Serialize)]
    enum Optimizer {
        Adam { decay: f32 },
        Sgd,
    }

    #[derive(Serialize)]
    struct Arguments {
        rate: f64,
        epochs: u64,
        text: &'static str,
        none: Option<u8>,
        optimizer: Optimizer,
        by_path: BTreeMap<&'static str, i8>,
    }

    fn arguments(rate: f64, optimizer: Optimizer) -> Arguments {
        let by_path = BTreeMap::from([("a/b", -1), ("100%", 1)]);
        Arguments { rate, epochs: u64::MAX, text: "say \"no\"\n", none: None, optimizer, by_path }
    }

    pub(super) fn add() {
        let Some(path) = missing("configuration") else { return };
        for (state, arguments) in
            [(1, arguments(0.1, Optimizer::Sgd)), (2, arguments(1e-300, Optimizer::Adam { decay: 0.5 }))]
        {
            let builder = Checkpointer::<u64>::builder(&path).config(&arguments);
            builder.open().unwrap().save(&state).unwrap();
        }
        tidy(&path);
    }

    #[test]
    fn a_configuration_is_compared_with_that_of_the_file() {
        let (_parent, path) = kept("configuration");
        let open = |arguments: &Arguments, changes: ConfigChanges| {
            Checkpointer::<u64>::builder(&path).config(arguments).config_changes(changes).open().unwrap()
        };
        let same = arguments(1e-300, Optimizer::Adam { decay: 0.5 });
        let mut checkpoints = open(&same, ConfigChanges::refuse());
        assert_eq!(checkpoints.load().unwrap(), Some(2));
        assert!(checkpoints.last_load().unwrap().config_differences.is_empty());
        let manifest = checkpoints.manifest(1).unwrap();
        let stored: Vec<(&str, &str)> = manifest.configuration().collect();
        assert_eq!(
            stored,
            [
                ("by_path/100%25", "1"),
                ("by_path/a%2Fb", "-1"),
                ("epochs", "18446744073709551615"),
                ("none", "None"),
                ("optimizer", "Sgd"),
                ("rate", "0.1"),
                ("text", "\"say \\\"no\\\"\\n\""),
            ]
        );
        drop(checkpoints);
        let other = arguments(1e-300, Optimizer::Sgd);
        let error = open(&other, ConfigChanges::refuse()).load().unwrap_err();
        let Error::ConfigChanged { differences, .. } = error else { panic!("{error}") };
        assert!(differences.iter().all(|difference| difference.to_string().starts_with("optimizer")));
        let mut checkpoints = open(&other, ConfigChanges::refuse().allow("optimizer"));
        assert_eq!(checkpoints.load().unwrap(), Some(2));
    }
}

mod outputs {
    use super::*;

    /// `best` counts the first bytes of the file of `now`.
    #[checkpointed]
    struct State {
        best: Appended,
        now: Appended,
        empty: Appended,
    }

    /// More than the bytes that show if a file is the same.
    fn lines(upto: usize) -> Vec<u8> {
        (0..upto).flat_map(|number| format!("{number:09}\n").into_bytes()).collect()
    }

    pub(super) fn add() {
        let Some(path) = missing("outputs") else { return };
        fs::create_dir(&path).unwrap();
        let at = |name: &str| Appended::at(path.join(name));
        let (mut now, empty) = (at("now.csv"), at("empty.csv"));
        now.write_all(&lines(300)).unwrap();
        let best = now.clone();
        now.write_all(&lines(500)[3000..]).unwrap();
        let mut state = State { best, now, empty };
        Checkpointer::open(path.join("run")).unwrap().save(&state).unwrap();
        state.now.write_all(b"not counted").unwrap();
        drop(state);
        tidy(&path.join("run"));
    }

    #[test]
    fn outputs_are_cut_to_what_the_file_counts() {
        let (_parent, path) = kept("outputs");
        let content = |name: &str| fs::read(path.join(name)).unwrap();
        let whole = [&lines(500)[..], b"not counted"].concat();
        let read = CheckpointReader::<State>::open(path.join("run")).unwrap().load().unwrap().unwrap();
        assert_eq!((read.best.len(), read.now.len(), read.empty.len()), (3000, 5000, 0));
        assert_eq!(read.now.path(), path.join("now.csv"));
        assert_eq!(content("now.csv"), whole, "a look changes nothing");

        let mut checkpoints = Checkpointer::<State>::open(path.join("run")).unwrap();
        let mut state = checkpoints.load().unwrap().unwrap();
        assert_eq!(content("now.csv"), lines(500));
        state.now.write_all(b"more").unwrap();
        state.empty.write_all(b"first").unwrap();
        checkpoints.save(&state).unwrap();
        drop(state);
        assert_eq!(content("now.csv"), [&lines(500)[..], b"more"].concat());
        assert_eq!(content("empty.csv"), b"first");
        assert!(!path.join("now.csv.cut-at-5000").exists());
    }

    #[test]
    fn a_directory_of_another_name_keeps_what_it_cuts() {
        let (_parent, path) = kept("outputs");
        fs::rename(path.join("run"), path.join("other")).unwrap();
        Checkpointer::<State>::open(path.join("other")).unwrap().load().unwrap().unwrap();
        assert_eq!(fs::read(path.join("now.csv")).unwrap(), lines(500));
        assert_eq!(fs::read(path.join("now.csv.cut-at-5000")).unwrap(), b"not counted");
    }
}

mod outputs_of_scopes {
    use super::*;

    pub(super) fn add() {
        let Some(path) = missing("scopes-outputs") else { return };
        fs::create_dir(&path).unwrap();
        let mut scopes = Scopes::open(path.join("run")).unwrap();
        let mut outer = scopes.enter::<(u64, Appended)>("outer").unwrap();
        let mut log = Appended::at(path.join("run.log"));
        log.write_all(b"outer,").unwrap();
        outer.keep(&(7, log.clone())).unwrap();
        let warm = outer.once("warm-up", |_| {
            log.write_all(b"warm,").unwrap();
            Ok::<_, Error>(log)
        });
        let mut log = warm.unwrap();
        let mut inner = outer.enter::<Appended>("inner").unwrap();
        log.write_all(b"inner,").unwrap();
        inner.save(&log).unwrap();
        log.write_all(b"not counted").unwrap();
        drop((inner, log));
        drop(outer);
        drop(scopes);
        tidy(&path.join("run"));
    }

    #[test]
    fn scopes_go_on_with_the_outputs_that_they_count() {
        let (_parent, path) = kept("scopes-outputs");
        let mut scopes = Scopes::open(path.join("run")).unwrap();
        assert!(scopes.restore().unwrap());
        // They were saved before scopes noted the work that they were entered in.
        let differences = &scopes.checkpointer().last_load().unwrap().differences;
        let paths: Vec<&str> = differences.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!(paths, ["frames[].work"]);
        let mut outer = scopes.enter::<(u64, Appended)>("outer").unwrap();
        let (number, log) = outer.restored().unwrap();
        assert_eq!((number, log.len()), (7, 6));
        let warm = outer.once("warm-up", |_| -> Result<Appended, Error> { panic!("it was done") });
        assert_eq!(warm.unwrap().len(), 11);
        let counted = || fs::read_to_string(path.join("run.log")).unwrap();
        assert_eq!(counted(), "outer,warm,inner,not counted", "the scope inside counts more");
        let mut inner = outer.enter::<Appended>("inner").unwrap();
        let mut log = inner.restored().unwrap();
        assert_eq!((log.len(), counted().as_str()), (17, "outer,warm,inner,"));
        log.write_all(b"again").unwrap();
        inner.save(&log).unwrap();
        assert_eq!(counted(), "outer,warm,inner,again");
    }
}

mod counted {
    use super::*;

    fn builder(path: &Path) -> checkpointed::Builder<u64> {
        let hour = Duration::from_secs(3600);
        Checkpointer::builder(path)
            .schedule(Schedule::every_of("steps", 10))
            .keep_last(3)
            .keep_every(5)
            .keep_best(Metric::lowest("loss"), 1)
            .keep_every_of("steps", 100)
            .keep_one_in(hour, 24 * hour)
    }

    pub(super) fn add() {
        let Some(path) = missing("counted") else { return };
        let mut checkpoints = builder(&path).open().unwrap();
        for step in [10, 20] {
            checkpoints.count("steps", step);
            checkpoints.count("epoch", u64::MAX);
            checkpoints.save_if_due(&step).unwrap();
        }
        checkpoints.save_with(&21, Metadata::new().with("loss", 0.5)).unwrap();
        checkpoints.discard_newer(2).unwrap();
        checkpoints.finish(&22).unwrap();
        let mut checkpoints = builder(&path).open().unwrap();
        checkpoints.load().unwrap();
        drop(checkpoints);
        // Those that take a failure, or hours.
        let at = r#"{"time":"2026-11-27T08:00:00Z","at":1.5,"event""#;
        let rare = [
            r#""summary","runs":4,"failures":2,"observed":86400.25,"lost":60.0"#,
            r#""start","host":"there","process":7,"schedule":"every save","retention":{"last":1}"#,
            r#""alive""#,
            r#""died","ran":12.5"#,
            r#""restart","generation":2,"lost":3.25"#,
            r#""failure","generation":3,"error":"the disk is full""#,
            r#""rewind","generation":2"#,
            r#""save","generation":5,"bytes":10,"stall":0.5,"total":1.0,"interval":300.0,"reason":"stopping","why":"SIGTERM""#,
            r#""end","end":"stopped","by":"SIGTERM""#,
        ];
        let mut history = fs::File::options().append(true).open(path.join("history.jsonl")).unwrap();
        rare.iter().for_each(|rest| writeln!(history, "{at}:{rest}}}").unwrap());
        tidy(&path);
    }

    #[test]
    fn counts_and_every_event_of_a_history_are_read() {
        let (_parent, path) = kept("counted");
        let reader = CheckpointReader::<u64>::open(&path).unwrap();
        let manifest = reader.manifest(2).unwrap();
        let number = |name: &str| manifest.metadata().get(name).cloned();
        assert_eq!(number("steps"), Some(MetadataValue::from(20_u64)));
        assert_eq!(number("epoch"), Some(MetadataValue::from(u64::MAX)));

        let history = history::read(&path).unwrap();
        assert_eq!(history.unknown_lines, 0);
        let events: Vec<String> = history
            .records
            .iter()
            .map(|record| match &record.event {
                history::Event::Start { retention, schedule, .. } => {
                    format!("start: {schedule}; {}", retention.as_ref().unwrap())
                }
                history::Event::Save { generation, reason, interval, .. } => {
                    format!("save {generation}: {reason:?}, {interval:?}")
                }
                history::Event::Died { ran } => format!("died {ran:?}"),
                history::Event::Restart { generation, lost } => format!("restart {generation}: {lost:?}"),
                history::Event::Summary { runs, failures, observed, lost } => {
                    format!("summary {runs} {failures} {observed:?} {lost:?}")
                }
                event => format!("{event:?}"),
            })
            .collect();
        let start = "start: every 10 of steps; the last 3, every 5th, 1 with the lowest loss, every 100 of steps, \
                     one in 3600s up to 86400s";
        assert_eq!(
            events,
            [
                start,
                "save 1: Due, None",
                "save 2: Due, None",
                "save 3: Asked, None",
                "Discard { generation: 2 }",
                "save 4: Finishing, None",
                "End(Completed)",
                start,
                "restart 4: None",
                "End(Closed)",
                "summary 4 2 86400.25s 60s",
                "start: every save; the last 1",
                "Alive",
                "died 12.5s",
                "restart 2: Some(3.25s)",
                "Failure { generation: 3, error: \"the disk is full\" }",
                "Rewind { generation: 2 }",
                "save 5: Stopping, Some(300s)",
                "End(Stopped(\"SIGTERM\"))",
            ]
        );
    }
}

mod group {
    use super::*;

    #[checkpointed]
    #[derive(Clone, Debug, PartialEq)]
    struct State {
        step: Shared<u64>,
        field: Sharded<f64>,
        /// Two rows: of three members, one has none.
        rows: Sharded<[i16; 2]>,
    }

    fn empty(group: &Threads) -> State {
        let field = Sharded::blocks([2, 6], [1, checkpointed::group::Group::size(group) as u64], group);
        State { step: Shared(0), field: field.unwrap(), rows: Sharded::rows([2], group).unwrap() }
    }

    /// The state of a member, with the place of each number in the whole array.
    #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
    fn state(group: &Threads) -> State {
        let mut state = empty(group);
        let (first, width) = (state.field.offset()[1], state.field.extent()[1]);
        let number = |at: u64| (at / width * 6 + first + at % width) as f64;
        (0..).zip(state.field.data_mut()).for_each(|(at, value)| *value = number(at));
        let first = i16::try_from(state.rows.offset()[0]).unwrap();
        (first..).zip(state.rows.data_mut()).for_each(|(row, value)| *value = [row, -row]);
        state.step = Shared(7);
        state
    }

    fn on_all(size: usize, work: impl Fn(Threads) + Sync) {
        let work = &work;
        std::thread::scope(|scope| {
            Threads::new(size).into_iter().for_each(|group| drop(scope.spawn(move || work(group))));
        });
    }

    pub(super) fn add() {
        let Some(path) = missing("group") else { return };
        on_all(3, |group| {
            let mut checkpoints = Checkpointer::<State>::builder(&path).open_group(&group).unwrap();
            checkpoints.save(&state(&group)).unwrap();
        });
        tidy(&path);
        (0..3).for_each(|rank| tidy(&path.join(format!("ranks/{rank:06}"))));
    }

    /// Members that can encrypt and not read, so that the table has no checksum of their parts.
    pub(super) fn add_encrypted() {
        let Some(path) = missing("group-encrypted") else { return };
        on_all(2, |group| {
            let protection = Protection::new().encrypt_to(RECIPIENT).unwrap();
            let builder = Checkpointer::<u64>::builder(&path).protection(protection);
            builder.open_group(&group).unwrap().save(&7).unwrap();
        });
        tidy(&path);
        (0..2).for_each(|rank| tidy(&path.join(format!("ranks/{rank:06}"))));
    }

    #[test]
    fn parts_without_a_checksum_in_the_table_are_read() {
        let (_parent, path) = kept("group-encrypted");
        on_all(2, |group| {
            let protection = protected::encryption::encrypted();
            let builder = Checkpointer::<u64>::builder(&path).protection(protection);
            assert_eq!(builder.open_group(&group).unwrap().load().unwrap(), Some(7));
        });
    }

    #[test]
    fn a_group_of_any_size_goes_on_with_the_parts() {
        for size in [3, 1, 2] {
            let (_parent, path) = kept("group");
            on_all(size, |group| {
                let mut checkpoints = Checkpointer::<State>::builder(&path).open_group(&group).unwrap();
                let mut loaded = empty(&group);
                assert!(checkpoints.load_into(&mut loaded).unwrap());
                assert_eq!(loaded, state(&group), "{size} members");
            });
        }
    }

    #[test]
    fn tools_see_the_parts_and_the_whole() {
        let (_parent, path) = kept("group");
        let (protection, table) = (Protection::new(), path.join("00000000000000000001.ckpt"));
        assert_eq!(inspect::overview(&path, &protection).unwrap().kind, Kind::Group);
        let file = File::open(&table, &protection).unwrap();
        let group = GroupFile::of(&file, &protection).unwrap().unwrap();
        assert_eq!(group.size(), 3);
        for (rank, cost) in group.costs().enumerate() {
            assert_eq!(cost.bytes, fs::metadata(group.path_of(rank)).unwrap().len());
            assert!(cost.stall > Duration::ZERO && cost.total >= cost.stall, "{cost:?}");
            let part = group.part(rank).unwrap();
            assert_eq!(
                part.manifest().metadata().get("checkpointed.rank"),
                Some(&MetadataValue::from(rank as u64))
            );
            assert!(path.join(format!("ranks/{rank:06}/accepted")).exists());
        }
        let arrays: Vec<(&str, &[u64], usize)> = group
            .arrays()
            .iter()
            .map(|array| (array.path.as_str(), &array.shape[..], array.blocks))
            .collect();
        assert_eq!(arrays, [("field", &[2, 6][..], 3), ("rows", &[2, 2], 2)]);
        let whole = group.assemble().unwrap();
        assert_eq!(whole.manifest().name(), "State");
    }
}

mod names {
    use super::*;

    pub(super) fn add() {
        let Some(path) = missing("names") else { return };
        let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
        (1..=6).for_each(|state| _ = checkpoints.save(&state).unwrap());
        drop(checkpoints);
        inspect::rewind(&path, &Protection::new(), 4).unwrap();
        inspect::pin(&path, 1).unwrap();
        let of = |number: u64, end: &str| path.join(format!("{number:020}.{end}"));
        // The pin of another file of that number, and one of an early version.
        fs::copy(of(1, "pin"), of(2, "pin")).unwrap();
        fs::write(of(3, "pin"), b"").unwrap();
        fs::copy(of(1, "ckpt"), of(7, "ckpt.damaged")).unwrap();
        fs::copy(of(1, "ckpt"), of(7, "ckpt.damaged-2")).unwrap();
        tidy(&path);
    }

    #[test]
    fn pins_rewinds_and_damaged_files_have_their_names() {
        let (_parent, path) = kept("names");
        let overview = inspect::overview(&path, &Protection::new()).unwrap();
        let is_pinned = |kept: &[Keeping]| kept.contains(&Keeping::Pinned);
        let generations: Vec<(u64, bool)> = overview
            .generations
            .iter()
            .map(|generation| (generation.generation, is_pinned(&generation.kept)))
            .collect();
        assert_eq!(generations, [(1, true), (2, false), (3, true), (4, false)]);
        let numbers =
            |files: &[inspect::SetAside]| files.iter().map(|file| file.generation).collect::<Vec<u64>>();
        assert_eq!((numbers(&overview.rewound), numbers(&overview.set_aside)), (vec![5, 6], vec![7, 7]));

        let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(1).open().unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(4));
        let saved = checkpoints.save(&40).unwrap();
        assert_eq!(saved.generation, 8, "no number is used again");
        assert_eq!(checkpoints.generations().unwrap(), [1, 3, 8]);
        drop(checkpoints);
        let rewound = inspect::rewind(&path, &Protection::new(), 6).unwrap();
        assert_eq!((rewound.brought_back, rewound.set_aside), (vec![5, 6], vec![8]));
        assert_eq!(Checkpointer::<u64>::open(&path).unwrap().load().unwrap(), Some(6));
    }
}

mod protected {
    use super::*;

    fn tagged() -> Protection {
        Protection::new().authenticate(Key::from_bytes([7; 32]))
    }

    fn save(name: &str, protection: Protection) {
        let Some(path) = missing(name) else { return };
        let builder = Checkpointer::<Vec<f64>>::builder(&path).protection(protection);
        builder.open().unwrap().save(&vec![0.25; 100]).unwrap();
        tidy(&path);
    }

    fn load(name: &str, protection: Protection) -> Result<Option<Vec<f64>>, Error> {
        let (_parent, path) = kept(name);
        CheckpointReader::<Vec<f64>>::builder(path).protection(protection).open()?.load()
    }

    pub(super) fn add() {
        save("tagged", tagged());
        encryption::add();
    }

    #[test]
    fn a_tagged_file_is_taken_with_its_key() {
        assert_eq!(load("tagged", tagged()).unwrap(), Some(vec![0.25; 100]));
        assert_eq!(load("tagged", Protection::new()).unwrap(), Some(vec![0.25; 100]));
        load("tagged", Protection::new().authenticate(Key::from_bytes([8; 32]))).unwrap_err();
        load("values", tagged()).unwrap_err();
    }

    pub(super) mod encryption {
        use super::*;

        pub(in super::super) fn encrypted() -> Protection {
            Protection::new().decrypt_with(IDENTITY).unwrap()
        }

        pub(super) fn add() {
            save("encrypted", encrypted());
            save("encrypted-and-tagged", encrypted().authenticate(Key::from_bytes([7; 32])));
            group::add_encrypted();
        }

        #[test]
        fn an_encrypted_file_is_read_with_its_identity() {
            assert_eq!(load("encrypted", encrypted()).unwrap(), Some(vec![0.25; 100]));
            let both = || encrypted().authenticate(Key::from_bytes([7; 32]));
            assert_eq!(load("encrypted-and-tagged", both()).unwrap(), Some(vec![0.25; 100]));
            load("encrypted", both()).unwrap_err();
            load("encrypted-and-tagged", tagged()).unwrap_err();
        }
    }
}

mod own_forms {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Any {
        Unit,
        Newtype(Option<Option<u8>>),
        Tuple(i64, u128, i128),
        Struct { text: String, letter: char, nothing: (), small: f32, large: f64 },
    }

    /// A type of another crate, whose fields have several names.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Foreign {
        #[serde(alias = "velocity", alias = "speed")]
        celerity: f64,
        any: Option<Any>,
    }

    #[checkpointed]
    #[derive(Clone, Debug, PartialEq)]
    struct OwnForms {
        #[serde(with = "checkpointed::json")]
        json: BTreeMap<String, Vec<Any>>,
        #[serde(with = "checkpointed::self_describing")]
        described: Vec<Any>,
        wide: Vec<u128>,
        rows: Vec<[u32; 1]>,
        foreign: Foreign,
    }

    fn state() -> OwnForms {
        let any = vec![
            Any::Unit,
            Any::Newtype(None),
            Any::Newtype(Some(None)),
            Any::Newtype(Some(Some(3))),
            Any::Tuple(i64::MIN, u128::MAX, i128::MIN),
            Any::Struct { text: "säve".into(), letter: '€', nothing: (), small: 0.1, large: -0.0 },
        ];
        // JSON has no numbers of 128 bits.
        let in_json = vec![Any::Unit, Any::Newtype(Some(Some(3)))];
        OwnForms {
            json: BTreeMap::from([("a \"key\"".to_owned(), in_json)]),
            foreign: Foreign { celerity: 2.5, any: any.last().cloned() },
            described: any,
            wide: vec![u128::MAX, 1 << 100],
            rows: vec![[1], [2], [3]],
        }
    }

    pub(super) fn add() {
        let Some(path) = missing("own-forms") else { return };
        Checkpointer::open(&path).unwrap().save(&state()).unwrap();
        tidy(&path);
    }

    #[test]
    fn fields_in_a_form_of_their_own_are_read() {
        crate::compatibility::assert_reads("own-forms", &state());
    }
}

mod long_names {
    use super::*;

    type Nested = BTreeMap<String, BTreeMap<String, Vec<u64>>>;

    /// Steps of more than 200 bytes, and paths of more than 1000, with bytes that are replaced.
    fn state() -> Nested {
        let inner = |letter: &str| {
            let names =
                ["x".repeat(150), "/".repeat(300), letter.repeat(400), String::new(), ".hidden".to_owned()];
            (0..).zip(names).map(|(number, name)| (name, vec![number, u64::MAX])).collect()
        };
        let outer = ["k".repeat(199), "é".repeat(200), "a.npy".to_owned()];
        outer.into_iter().map(|name| (name, inner("é"))).collect()
    }

    pub(super) fn add() {
        let Some(path) = missing("long-names") else { return };
        Checkpointer::open(&path).unwrap().save(&state()).unwrap();
        tidy(&path);
    }

    #[test]
    fn arrays_with_long_and_odd_paths_are_read() {
        crate::compatibility::assert_reads("long-names", &state());
    }
}

mod mirror {
    use super::*;

    fn builder(path: &Path) -> checkpointed::Builder<u64> {
        Checkpointer::builder(path.join("near")).keep_last(2).mirror(Mirror::to(path.join("far")))
    }

    /// The mirror has generation 1, which the directory has no more: only a record tells that it is
    /// a mirror of this one.
    pub(super) fn add() {
        let Some(path) = missing("mirror") else { return };
        fs::create_dir(&path).unwrap();
        let mut checkpoints = builder(&path).open().unwrap();
        checkpoints.save(&1).unwrap();
        checkpoints.wait_for_mirror(Duration::from_secs(60)).unwrap();
        drop(checkpoints);
        let mut checkpoints = Checkpointer::<u64>::builder(path.join("near")).keep_last(2).open().unwrap();
        checkpoints.load().unwrap();
        (2..=4).for_each(|state| _ = checkpoints.save(&state).unwrap());
        drop(checkpoints);
        tidy(&path.join("near"));
        tidy(&path.join("far"));
    }

    /// Gives the record the name of the present path of the mirror, as `docs/format.md` says.
    fn rename_record(path: &Path, kind: &str) {
        let key = blake3::hash(path.join("far").to_str().unwrap().as_bytes()).to_hex();
        let near = path.join("near");
        let names = fs::read_dir(&near).unwrap();
        let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let old = names.find(|name| name.starts_with("00000000000000000001.mirrored-")).unwrap();
        let (_, of_file) = old.split_once("-").unwrap().1.split_once("-").unwrap();
        let new = format!("00000000000000000001.{kind}-{}-{of_file}", &key[..16]);
        fs::rename(near.join(&old), near.join(new)).unwrap();
    }

    #[test]
    fn a_mirror_is_known_by_the_records_beside_the_run() {
        for kind in ["mirrored", "sent"] {
            let (_parent, path) = kept("mirror");
            let error = builder(&path).open().unwrap_err();
            assert!(matches!(error, Error::MirrorApart { .. }), "without a record of this path: {error}");
            rename_record(&path, kind);
            let mut checkpoints = builder(&path).open().unwrap();
            assert_eq!(checkpoints.load().unwrap(), Some(4));
            assert_eq!(checkpoints.wait_for_mirror(Duration::from_secs(60)).unwrap(), Some(4));
            drop(checkpoints);
            assert_eq!(CheckpointReader::<u64>::open(path.join("far")).unwrap().load().unwrap(), Some(4));
        }
    }

    #[test]
    fn a_lost_directory_comes_back_from_the_mirror() {
        let (_parent, path) = kept("mirror");
        fs::remove_dir_all(path.join("near")).unwrap();
        assert_eq!(builder(&path).open().unwrap().load().unwrap(), Some(1));
    }
}

mod steps {
    use std::error::Error as StdError;

    use super::*;

    type Outcome = Result<u64, Box<dyn StdError + Send + Sync>>;

    /// Returns what was done with each step, and the progress that the last one found. It ends with
    /// an error, or well.
    fn run(path: &Path, ends: bool) -> (Vec<String>, Option<u64>) {
        let pipeline = Pipeline::open(path).unwrap();
        let input = path.with_file_name("input.txt");
        let count =
            pipeline.step("count").file(&input).run(|_| -> Outcome { Ok(fs::metadata(&input)?.len()) });
        pipeline.step("again").run(|_| -> Outcome { Ok(1) }).unwrap();
        let count = count.unwrap();
        let mut found = None;
        let sum = pipeline.step("sum").input(&count).run(|context| -> Outcome {
            let mut checkpoints = context.checkpointer::<u64>()?;
            found = checkpoints.load()?;
            checkpoints.save(&(found.unwrap_or(0) + *count.load()?))?;
            if ends { Ok(found.unwrap_or(0)) } else { Err("stopped".into()) }
        });
        assert_eq!(sum.is_ok(), ends);
        let told =
            pipeline.reports().into_iter().map(|report| format!("{}: {:?}", report.step, report.outcome));
        (told.collect(), found)
    }

    pub(super) fn add() {
        let Some(path) = missing("steps") else { return };
        fs::create_dir(&path).unwrap();
        fs::write(path.join("input.txt"), "seven").unwrap();
        run(&path.join("run.pipeline"), false);
        pipeline::redo(path.join("run.pipeline"), "again").unwrap();
        remove_locks(&path);
    }

    fn remove_locks(directory: &Path) {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                remove_locks(&entry.path());
            } else if entry.file_name() == ".lock" {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    #[test]
    fn a_pipeline_goes_on_with_its_progress_and_requests() {
        let (_parent, path) = kept("steps");
        let path = path.join("run.pipeline");
        // Git keeps no empty directory.
        fs::create_dir_all(path.join("steps/sum")).unwrap();
        let steps = pipeline::steps(&path, &Protection::new()).unwrap();
        let mut seen: Vec<(&str, bool, bool)> =
            steps.iter().map(|step| (step.step.as_str(), step.in_progress, step.redo)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [("again", false, true), ("count", false, false), ("sum", true, false)]);
        let count = steps.iter().find(|step| step.step == "count").unwrap();
        assert_eq!(count.versions[0].files, ["input.txt"]);
        let (told, found) = run(&path, true);
        assert_eq!(told, ["count: Reused", "again: Ran", "sum: Ran"]);
        assert_eq!(found, Some(5));
    }
}
