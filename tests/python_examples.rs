//! The Python reader (python/) finds the same values as Rust in the checkpoints of every example,
//! to the bit.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::common::example;
use crate::common::python::{LOAD, reader};
use checkpointed::{Checkpoint, CheckpointReader, Scopes, checkpointed};
use ndarray::Array2;
use rand_pcg::Pcg64;
use serde_json::{Value, json};

fn run(name: &str, directory: &Path, arguments: &[&str]) {
    let output = example(name).arg("--dir").arg(directory).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The states that Rust and Python load; `None` without Python.
fn both<T: Checkpoint>(path: &Path) -> Option<(T, Value)> {
    let loaded = CheckpointReader::<T>::open(path).unwrap().load().unwrap().unwrap();
    let printed = reader(LOAD, path)?;
    Some((loaded, serde_json::from_str(&printed).unwrap()))
}

fn integer(value: &impl ToString) -> Value {
    json!(["int", value.to_string()])
}

fn float(value: f64) -> Value {
    json!(["f64", format!("{:016x}", value.to_bits())])
}

fn array<'a, E: bytemuck::NoUninit>(
    dtype: &str,
    shape: &[usize],
    values: impl IntoIterator<Item = &'a E>,
) -> Value {
    let bytes: Vec<u8> = values.into_iter().flat_map(|value| bytemuck::bytes_of(value).to_vec()).collect();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    json!(["array", dtype, shape, hex])
}

fn floats(values: &[f64]) -> Value {
    array("<f8", &[values.len()], values)
}

#[test]
fn the_counter_is_the_same_number() {
    #[checkpointed]
    struct Counter {
        count: u64,
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("counter.ckpt");
    run("article", &path, &["--every", "1", "--count", "3"]);
    let Some((counter, python)) = both::<Counter>(&path) else { return };
    assert_eq!(counter.count, 3);
    assert_eq!(python, json!(["dict", ["count", integer(&3)]]));
}

#[test]
fn the_plate_has_the_same_temperatures() {
    #[checkpointed]
    struct Plate {
        temperature: Array2<f64>,
        step: u64,
        diffusivity: f64,
        spacing: f64,
        time_step: f64,
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("heat.ckpt");
    run("heat", &path, &["--size", "16", "--steps", "20", "--every", "10"]);
    let Some((plate, python)) = both::<Plate>(&path) else { return };
    assert_eq!(plate.step, 20);
    let temperature = json!([
        "dict",
        ["v", integer(&1)],
        ["dim", array("<u8", &[2], &[16_u64, 16])],
        ["data", array("<f8", &[16, 16], &plate.temperature)]
    ]);
    assert_eq!(
        python,
        json!([
            "dict",
            ["temperature", temperature],
            ["step", integer(&20)],
            ["diffusivity", float(plate.diffusivity)],
            ["spacing", float(plate.spacing)],
            ["time_step", float(plate.time_step)],
        ])
    );
}

#[test]
fn the_training_has_the_same_weights_and_random_numbers() {
    #[checkpointed]
    struct Training {
        weights: Vec<f64>,
        velocity: Vec<f64>,
        epoch: u64,
        batch: usize,
        order: Vec<u32>,
        random: Pcg64,
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("train.ckpt");
    run("train", &path, &["--epochs", "3"]);
    let Some((training, python)) = both::<Training>(&path) else { return };
    // Its two numbers have 128 bits, and only the text of the JSON keeps all of them.
    let random = serde_json::to_string(&training.random).unwrap();
    let number = |name: &str| {
        random.split(&format!("\"{name}\":")).nth(1).unwrap().split([',', '}']).next().unwrap().to_owned()
    };
    assert_eq!(
        python,
        json!([
            "dict",
            ["weights", floats(&training.weights)],
            ["velocity", floats(&training.velocity)],
            ["epoch", integer(&training.epoch)],
            ["batch", integer(&training.batch)],
            ["order", array("<u4", &[training.order.len()], &training.order)],
            [
                "random",
                ["dict", ["state", integer(&number("state"))], ["increment", integer(&number("increment"))]]
            ],
        ])
    );
    let program = "
for entry in checkpointed.list(sys.argv[1]): print(entry.generation, entry.metadata.get('loss', ''))";
    let listed = reader(program, &path).unwrap();
    let rust = CheckpointReader::<Training>::open(&path).unwrap();
    for (line, generation) in listed.lines().zip(rust.generations().unwrap()) {
        let manifest = rust.manifest(generation).unwrap();
        let loss = manifest.metadata().get("loss").and_then(checkpointed::MetadataValue::as_f64);
        let (number, text) = line.split_once(' ').unwrap();
        assert_eq!(number, generation.to_string());
        assert_eq!(text.parse::<f64>().ok(), loss, "{line}");
    }
}

#[test]
fn the_variables_of_each_scope_are_the_same() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Loop {
        i: i64,
        v: i64,
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("nested.ckpt");
    let mut child = example("nested")
        .arg("--dir")
        .arg(&path)
        .args([OsStr::new("--pause"), OsStr::new("20")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Long enough for some calls of `b`, so that both functions have variables.
    thread::sleep(Duration::from_millis(900));
    child.kill().unwrap();
    child.wait().unwrap();

    let Some(printed) = reader(LOAD, &path) else { return };
    let python: Value = serde_json::from_str(&printed).unwrap();
    let mut scopes = Scopes::open(&path).unwrap();
    assert!(scopes.restore().unwrap());
    let mut program = scopes.enter::<()>("main").unwrap();
    let pair = |own: Option<Loop>| own.map(|own| (own.i, own.v));
    let both = program.once("d of i1", |scopes| {
        let mut outer = scopes.enter::<Loop>("d")?;
        let of_d = pair(outer.restored());
        let of_b = pair(outer.enter::<Loop>("b")?.restored());
        Ok::<_, checkpointed::Error>((of_d.unwrap(), of_b.unwrap()))
    });
    let (of_d, of_b): ((i64, i64), (i64, i64)) = both.unwrap();
    let found = python[2][1].as_array().unwrap();
    assert_eq!(python[2][0], "frames", "{python}");
    assert_eq!(found.len(), 4, "the list, `main`, `d` and `b`: {python}");
    for (frame, (name, (i, v))) in found[2..].iter().zip([("d", of_d), ("b", of_b)]) {
        assert_eq!(frame[1], json!(["name", name]));
        assert_eq!(frame[3], json!(["kept", ["dict", ["i", integer(&i)], ["v", integer(&v)]]]));
    }
}

#[test]
fn the_outputs_of_each_step_are_the_same() {
    #[checkpointed]
    struct Table {
        x: Vec<f64>,
        y: Vec<f64>,
    }
    #[checkpointed]
    struct Fit {
        coefficients: Vec<f64>,
        residual: f64,
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("pipeline");
    run("pipeline", &path, &[]);
    let pipeline = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    let program = "
print(json.dumps({name: typed(checkpointed.load(path)) for name, path in checkpointed.steps(sys.argv[1]).items()}))";
    let Some(printed) = reader(program, &pipeline) else { return };
    let python: Value = serde_json::from_str(&printed).unwrap();
    let names: Vec<&String> = python.as_object().unwrap().keys().collect();
    assert_eq!(names, ["clean", "fit", "load", "report"]);
    let step = |name: &str| pipeline.join("steps").join(name);
    for name in ["load", "clean"] {
        let table = CheckpointReader::<Table>::open(step(name)).unwrap().load().unwrap().unwrap();
        assert_eq!(python[name], json!(["dict", ["x", floats(&table.x)], ["y", floats(&table.y)]]));
    }
    let fit = CheckpointReader::<Fit>::open(step("fit")).unwrap().load().unwrap().unwrap();
    assert_eq!(
        python["fit"],
        json!(["dict", ["coefficients", floats(&fit.coefficients)], ["residual", float(fit.residual)]])
    );
    let report = CheckpointReader::<String>::open(step("report")).unwrap().load().unwrap().unwrap();
    assert_eq!(python["report"], json!(report));
}
