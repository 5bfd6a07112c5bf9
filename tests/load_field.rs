//! One field of a checkpoint is loaded alone: each path of a state gives what a load has there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use checkpointed::evolution::DifferenceKind;
use checkpointed::inspect::{self, Found, Node, Value};
use checkpointed::{
    Checkpoint, CheckpointReader, Checkpointer, Error, ExpectedSchema, Protection, checkpointed,
};

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Point,
    Circle { radius: f64, colour: String },
    Polygon(Vec<[f64; 2]>),
    Pair(u8, Vec<f32>),
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Metres(f64);

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Grid([[f64; 64]; 2]);

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Layer {
    weights: Vec<f32>,
    bias: f32,
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Everything {
    layers: Vec<Layer>,
    shapes: Vec<Shape>,
    some: Option<Layer>,
    none: Option<u8>,
    by_name: BTreeMap<String, Vec<f64>>,
    by_number: BTreeMap<i32, Metres>,
    pair: (u8, Vec<i64>),
    fixed: [u32; 3],
    grid: Grid,
    wrapped: Metres,
    text: String,
    letter: char,
    wide: u128,
    unit: (),
    flags: Vec<bool>,
    boxed: Box<[u16]>,
    last: i8,
}

fn layer(number: u16) -> Layer {
    Layer { weights: vec![f32::from(number) + 0.25; 100], bias: f32::from(number) }
}

fn everything() -> Everything {
    Everything {
        layers: (0..3).map(layer).collect(),
        shapes: vec![
            Shape::Point,
            Shape::Circle { radius: 2.5, colour: "red".to_owned() },
            Shape::Polygon(vec![[1.0, 2.0]; 80]),
            Shape::Pair(7, vec![0.5; 90]),
        ],
        some: Some(layer(9)),
        none: None,
        by_name: BTreeMap::from([
            ("a/b".to_owned(), vec![1.5; 70]),
            (String::new(), Vec::new()),
            ("100 %".to_owned(), vec![2.5; 2]),
        ]),
        by_number: BTreeMap::from([(-3, Metres(1.0)), (12, Metres(2.0))]),
        pair: (3, vec![-1; 64]),
        fixed: [1, 2, 3],
        grid: Grid([[0.5; 64], [1.5; 64]]),
        wrapped: Metres(8.0),
        text: "één".to_owned(),
        letter: 'λ',
        wide: u128::MAX - 1,
        unit: (),
        flags: vec![true, false],
        boxed: vec![6; 100].into(),
        last: -8,
    }
}

fn saved<T: Checkpoint>(state: &T) -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    Checkpointer::open(&path).unwrap().save(state).unwrap();
    (parent, path)
}

/// The paths of all values, as `ckpt show` names them.
fn paths(node: &Node<'_>, path: &str, found: &mut BTreeSet<String>) {
    found.insert(path.to_owned());
    match node.value().unwrap() {
        Value::Option(Some(inner)) | Value::Variant(_, Some(inner)) => paths(&inner, path, found),
        value => {
            for member in value.members().into_iter().flatten() {
                let member = member.unwrap();
                let step = member.label.step();
                let path = if path.is_empty() { step } else { format!("{path}/{step}") };
                paths(&member.node, &path, found);
            }
        }
    }
}

/// Loads fields, and compares them with those of a state.
struct Fields {
    reader: CheckpointReader<Everything>,
    tried: BTreeSet<String>,
}

impl Fields {
    #[track_caller]
    fn same<U: Checkpoint + Debug + PartialEq>(&mut self, path: impl Into<String>, expected: &U) {
        let path = path.into();
        let field = self.reader.load_field::<U>(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(field.as_ref(), Some(expected), "{path}");
        self.tried.insert(path);
    }

    fn layer(&mut self, path: &str, layer: &Layer) {
        self.same(path, layer);
        self.same(format!("{path}/weights"), &layer.weights);
        self.same(format!("{path}/bias"), &layer.bias);
    }
}

#[test]
fn every_path_of_a_state_gives_the_field_of_a_load() {
    let state = everything();
    let (_parent, path) = saved(&state);
    let reader = CheckpointReader::open(&path).unwrap();
    let mut fields = Fields { reader, tried: BTreeSet::new() };
    fields.same("", &state);
    fields.same("layers", &state.layers);
    for (number, layer) in state.layers.iter().enumerate() {
        fields.layer(&format!("layers/{number}"), layer);
    }
    fields.same("shapes", &state.shapes);
    for (number, shape) in state.shapes.iter().enumerate() {
        fields.same(format!("shapes/{number}"), shape);
    }
    fields.same("shapes/1/radius", &2.5_f64);
    fields.same("shapes/1/colour", &"red".to_owned());
    fields.same("shapes/3/0", &7_u8);
    fields.same("shapes/3/1", &vec![0.5_f32; 90]);
    fields.same("some", &state.some);
    fields.same("some", &layer(9));
    fields.layer("some", &layer(9));
    fields.same("none", &state.none);
    fields.same("by_name", &state.by_name);
    fields.same("by_name/a%2Fb", &vec![1.5; 70]);
    fields.same("by_name/%", &Vec::<f64>::new());
    fields.same("by_name/100 %25", &vec![2.5; 2]);
    fields.same("by_number", &state.by_number);
    fields.same("by_number/-3", &Metres(1.0));
    fields.same("by_number/12", &2.0_f64);
    fields.same("pair", &state.pair);
    fields.same("pair/0", &3_u8);
    fields.same("pair/1", &vec![-1_i64; 64]);
    fields.same("fixed", &state.fixed);
    for (place, number) in state.fixed.iter().enumerate() {
        fields.same(format!("fixed/{place}"), number);
    }
    fields.same("grid", &state.grid);
    fields.same("wrapped", &state.wrapped);
    fields.same("wrapped", &8.0_f64);
    fields.same("text", &state.text);
    fields.same("letter", &state.letter);
    fields.same("wide", &state.wide);
    fields.same("unit", &());
    fields.same("flags", &state.flags);
    fields.same("boxed", &state.boxed);
    fields.same("last", &state.last);
    let file = inspect::File::open_generation(&path, 1, &Protection::new()).unwrap();
    let mut all = BTreeSet::new();
    paths(&file.root(), "", &mut all);
    // Which short sequences are arrays of their own is up to the library.
    let untried: Vec<&String> = all.difference(&fields.tried).collect();
    let is_element = |path: &&String| path.starts_with("flags/") || path.starts_with("fixed/");
    assert!(untried.iter().all(is_element), "{untried:?}");
    for path in &all {
        assert!(matches!(file.find(path), Ok(Found::Node(_))), "{path}");
    }
}

#[test]
fn a_wrong_path_names_those_that_are_near() {
    let (_parent, path) = saved(&everything());
    let mut reader = CheckpointReader::<Everything>::open(&path).unwrap();
    let mut refused = |path: &str| match reader.load_field::<u8>(path).unwrap_err() {
        Error::NoSuchField { step, within, known, .. } => (step, within, known.join(" ")),
        error => panic!("{error}"),
    };
    let (step, within, known) = refused("layer/0");
    assert_eq!((step.as_str(), within.as_str()), ("layer", ""));
    assert!(known.starts_with("layers "), "{known}");
    let inside = refused("layers/1/weight");
    assert_eq!(inside, ("weight".to_owned(), "layers/1".to_owned(), "weights bias".to_owned()));
    assert_eq!(refused("layers/3").2, "0 to 2");
    assert_eq!(refused("text/0").2, "");
    assert_eq!(refused("none/0").1, "none");

    let many: BTreeMap<String, u8> = (0..900).map(|number| (format!("key {number:03}"), 1)).collect();
    let (_parent, path) = saved(&many);
    let mut reader = CheckpointReader::<()>::open(&path).unwrap();
    let error = reader.load_field::<u8>("key 87").unwrap_err().to_string();
    assert!(error.contains("key 087") && !error.contains("key 500"), "{error}");
}

#[test]
fn a_wrong_type_is_refused_as_by_a_load() {
    let (_parent, path) = saved(&everything());
    let mut reader = CheckpointReader::<Everything>::open(&path).unwrap();
    let error = reader.load_field::<Vec<String>>("layers/1/weights").unwrap_err();
    let Error::SchemaMismatch { differences, why, .. } = &error else { panic!("{error}") };
    assert!(differences[0].path.starts_with("layers/1/weights"), "{differences:?}");
    assert!(why.contains("layers/1/weights"), "{why}");
    // Numbers are converted, and keep their values or are refused.
    assert_eq!(reader.load_field::<u64>("fixed/2").unwrap(), Some(3));
    let error = reader.load_field::<u8>("last").unwrap_err().to_string();
    assert!(error.contains("last"), "{error}");
}

#[checkpointed(name = "length")]
#[derive(Debug, PartialEq)]
struct Feet {
    feet: Vec<f64>,
}

#[checkpointed(name = "length", version = 2, migrate(from = 1, with = metres))]
#[derive(Debug, PartialEq)]
struct Length {
    metres: Vec<f64>,
}

#[allow(clippy::needless_pass_by_value, reason = "a migration takes the older state")]
fn metres(old: Feet) -> Length {
    Length { metres: old.feet.iter().map(|feet| feet * 0.25).collect() }
}

#[checkpointed(name = "lengths")]
struct Lengths<L> {
    before: Vec<f64>,
    of: L,
    behind: u8,
}

#[test]
fn a_field_of_another_version_is_migrated() {
    let feet = Feet { feet: vec![4.0; 100] };
    let (_parent, path) = saved(&Lengths { before: vec![1.0; 100], of: feet, behind: 1 });
    let mut reader = CheckpointReader::<Lengths<Length>>::open(&path).unwrap();
    let length = reader.load_field::<Length>("of").unwrap().unwrap();
    assert_eq!(length, Length { metres: vec![1.0; 100] });
    assert_eq!(reader.load_field::<Vec<f64>>("of/feet").unwrap(), Some(vec![4.0; 100]));

    let (_parent, path) = saved(&Lengths { before: Vec::new(), of: length, behind: 1 });
    let mut reader = CheckpointReader::<()>::open(&path).unwrap();
    let error = reader.load_field::<Feet>("of").unwrap_err();
    let Error::SchemaMismatch { differences, .. } = &error else { panic!("{error}") };
    assert!(differences.iter().any(|difference| difference.kind == DifferenceKind::Version), "{error}");
}

#[test]
fn a_field_of_another_program_is_refused_by_its_name() {
    let (_parent, path) = saved(&everything());
    let mut other = CheckpointReader::<Length>::open(&path).unwrap();
    let error = other.load_field::<i8>("last").unwrap_err();
    assert!(matches!(error, Error::OtherState { .. }), "{error}");
    let mut any = CheckpointReader::<()>::open(&path).unwrap();
    assert_eq!(any.load_field::<i8>("last").unwrap(), Some(-8));
}

#[test]
fn a_field_of_one_generation_can_be_loaded() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = Checkpointer::<(u64, Vec<f64>)>::builder(&path).keep_last(9).open().unwrap();
    assert_eq!(checkpoints.load_field::<u64>("0").unwrap(), None);
    for step in 1..=3 {
        checkpoints.save(&(step, vec![0.5; 100])).unwrap();
    }
    assert_eq!(checkpoints.load_field::<u64>("0").unwrap(), Some(3));
    assert_eq!(checkpoints.load_generation_field::<u64>(2, "0").unwrap(), 2);
    let error = checkpoints.load_generation_field::<u64>(7, "0").unwrap_err();
    assert!(matches!(error, Error::NoSuchGeneration { .. }), "{error}");
    assert_eq!(checkpoints.load_field::<u64>("1/x").unwrap_err().to_string().lines().count(), 1);
}

#[test]
fn a_field_of_a_branch_comes_from_its_origin() {
    let (_parent, origin) = saved(&(5_u64, vec![0.5; 100]));
    let path = origin.with_extension("branch");
    let builder = Checkpointer::<(u64, Vec<f64>)>::builder(&path).branch_from(&origin);
    let mut checkpoints = builder.open().unwrap();
    assert_eq!(checkpoints.load_field::<u64>("0").unwrap(), Some(5));
    checkpoints.load().unwrap();
    checkpoints.save(&(6, Vec::new())).unwrap();
    assert_eq!(checkpoints.load_field::<u64>("0").unwrap(), Some(6));
}

#[test]
fn a_field_of_a_checkpoint_inside_another_is_found() {
    let inner = tempfile::tempdir().unwrap();
    Checkpointer::open(inner.path()).unwrap().save(&(1_u8, vec![2.5; 100])).unwrap();
    let file = inner.path().join(format!("{:020}.ckpt", 1));
    let bytes = std::fs::read(file).unwrap();
    let (_parent, path) = saved(&("around".to_owned(), bytes.clone()));
    let mut reader = CheckpointReader::<()>::open(&path).unwrap();
    assert_eq!(reader.load_field::<Vec<f64>>("1/1").unwrap(), Some(vec![2.5; 100]));
    assert_eq!(reader.load_field::<Vec<u8>>("1").unwrap(), Some(bytes));
}

#[test]
fn the_table_of_a_group_has_no_fields_of_a_state() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let group = checkpointed::group::Alone;
    let mut checkpoints = Checkpointer::<u64>::builder(&path).open_group(group).unwrap();
    checkpoints.save(&7).unwrap();
    drop(checkpoints);
    let mut reader = CheckpointReader::<u64>::open(&path).unwrap();
    assert!(matches!(reader.load_field::<u64>("").unwrap_err(), Error::OtherKind { .. }));
    let mut part = CheckpointReader::<u64>::open(rank(&path, 0)).unwrap();
    assert_eq!(part.load_field::<u64>("").unwrap(), Some(7));
}

fn rank(path: &Path, rank: usize) -> PathBuf {
    path.join("ranks").join(format!("{rank:06}"))
}

/// Figures for people: `cargo test -p checkpointed-tests --release --test main
/// load_field::figures -- --ignored --nocapture`. It takes 4 GiB of the disk and of memory.
#[cfg(unix)]
#[test]
#[ignore = "it measures"]
fn figures_of_1_mib_of_4_gib() {
    use std::os::unix::fs::FileExt as _;
    use std::time::Instant;

    const MIB: usize = 1 << 20;
    let large = || vec![0_u8; 2048 * MIB];
    let (_parent, path) = saved(&(large(), vec![7_u8; MIB], large()));
    let mut reader = CheckpointReader::<()>::open(&path).unwrap();
    let file = std::fs::File::open(path.join(format!("{:020}.ckpt", 1))).unwrap();
    let (mut fields, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..21 {
        let begun = Instant::now();
        let mut bytes = vec![0; MIB];
        file.read_exact_at(&mut bytes, 2048 << 20).unwrap();
        reads.push(begun.elapsed());
        drop(bytes);
        let begun = Instant::now();
        let field = reader.load_field::<Vec<u8>>("1").unwrap();
        fields.push(begun.elapsed());
        assert!(field.is_some_and(|field| field.len() == MIB && field.iter().all(|byte| *byte == 7)));
    }
    fields.sort();
    reads.sort();
    let ratio = fields[10].as_secs_f64() / reads[10].as_secs_f64();
    println!("load_field {:?}, pread {:?}: {ratio:.2}", fields[10], reads[10]);
}

#[test]
fn a_field_of_a_compressed_checkpoint_is_loaded() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let compression = checkpointed::Compression::Zstd(1);
    let mut checkpoints = Checkpointer::builder(&path).compression(compression).open().unwrap();
    checkpoints.save(&everything()).unwrap();
    let layers = checkpoints.load_field::<Vec<Layer>>("layers").unwrap();
    assert_eq!(layers, Some(everything().layers));
}

#[test]
fn a_field_of_a_value_of_another_version_is_refused() {
    #[checkpointed(name = "ship")]
    struct Knots {
        speed: f64,
    }
    #[checkpointed(name = "ship", version = 2, migrate(from = 1, with = metres_per_second))]
    struct Ship {
        speed: f64,
    }
    #[allow(clippy::needless_pass_by_value, reason = "a migration takes the older state")]
    fn metres_per_second(old: Knots) -> Ship {
        Ship { speed: old.speed * 0.5 }
    }
    #[checkpointed(name = "fleet")]
    struct Fleet<S> {
        first: S,
        others: Vec<Option<S>>,
    }
    let ship = || Knots { speed: 8.0 };
    let (_parent, path) = saved(&ship());
    let mut reader = CheckpointReader::<Ship>::open(&path).unwrap();
    assert!((reader.load().unwrap().unwrap().speed - 4.0).abs() < 1e-9);
    let error = reader.load_field::<f64>("speed").unwrap_err().to_string();
    for part in ["the state: version 1 in the checkpoint, version 2", "`speed`", "CheckpointReader::<()>"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(CheckpointReader::<()>::open(&path).unwrap().load_field("speed").unwrap(), Some(8.0));

    let (_parent, path) = saved(&Fleet { first: ship(), others: vec![Some(ship())] });
    let mut reader = CheckpointReader::<Fleet<Ship>>::open(&path).unwrap();
    for (field, place) in [("first/speed", "first: version 1"), ("others/0/speed", "others.0: version 1")] {
        let error = reader.load_field::<f64>(field).unwrap_err().to_string();
        assert!(error.contains(place), "{error}");
    }
    assert!((reader.load_field::<Ship>("first").unwrap().unwrap().speed - 4.0).abs() < 1e-9);

    #[checkpointed(name = "stage")]
    enum Stage<S> {
        Idle,
        Sailing(S, u8),
    }
    let (_parent, path) = saved(&(ship(), Stage::Sailing(ship(), 1)));
    let mut reader = CheckpointReader::<(Ship, Stage<Ship>)>::open(&path).unwrap();
    for field in ["0/speed", "1/0/speed"] {
        let error = reader.load_field::<f64>(field).unwrap_err().to_string();
        assert!(error.contains("version 1 in the checkpoint"), "{error}");
    }
    assert_eq!(reader.load_field::<u8>("1/1").unwrap(), Some(1));
    assert!(matches!(Stage::<u8>::Idle, Stage::Idle));
}

#[test]
fn the_whole_of_a_migrated_list_is_loaded_as_a_field() {
    #[checkpointed(name = "samples")]
    struct Feet(Vec<f64>);
    #[checkpointed(name = "samples", version = 2, migrate(from = 1, with = metres))]
    struct Samples(Vec<f64>);
    #[allow(clippy::needless_pass_by_value, reason = "a migration takes the older state")]
    fn metres(old: Feet) -> Samples {
        Samples(old.0.iter().map(|feet| feet * 0.25).collect())
    }
    let (_parent, path) = saved(&Feet(vec![4.0, 8.0]));
    let mut reader = CheckpointReader::<Samples>::open(&path).unwrap();
    assert_eq!(reader.load_field::<Samples>("").unwrap().unwrap().0, [1.0, 2.0]);
}

#[test]
fn a_state_that_was_named_group_loads_under_another_name() {
    #[checkpointed]
    struct Group {
        name: String,
        members: Vec<u64>,
    }
    #[checkpointed(was_type = "Group")]
    #[derive(Debug, Default, PartialEq)]
    struct Team {
        name: String,
        members: Vec<u64>,
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let group = Group { name: "a".to_owned(), members: vec![1, 2] };
    Checkpointer::open(path).unwrap().save(&group).unwrap();
    let team = || Team { name: "a".to_owned(), members: vec![1, 2] };
    let file = inspect::File::open_generation(path, 1, &Protection::new()).unwrap();
    let check = inspect::check(&file, &ExpectedSchema::of::<Team>());
    assert!(!check.is_refused(), "{check:?}");
    let mut fields = CheckpointReader::<()>::open(path).unwrap();
    assert_eq!(fields.load_field::<Vec<u64>>("members").unwrap(), Some(vec![1, 2]));
    let mut matched = Team::default();
    let matching = CheckpointReader::<Team>::open(path).unwrap().load_matching(&mut matched).unwrap();
    assert!(matching.unwrap().kept.is_empty());
    assert_eq!(matched, team());
    let mut checkpoints = Checkpointer::<Team>::open(path).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(team()));
    checkpoints.save(&team()).unwrap();
    checkpoints.rewind(1).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(team()));
}
