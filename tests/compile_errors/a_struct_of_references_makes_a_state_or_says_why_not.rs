//! A struct of references, and the state that owns its parts.

use checkpointed::checkpointed;
use std::borrow::Cow;

#[checkpointed(owned = "Same")]
struct Same<'a> {
    grid: &'a [f64],
}

#[checkpointed(owned = "State")]
struct Owner {
    grid: Vec<f64>,
}

#[checkpointed(owned = 7)]
struct Number<'a> {
    grid: &'a [f64],
}

#[checkpointed(owned = "Chosen")]
enum Choice<'a> {
    Grid(&'a [f64]),
}

#[checkpointed(owned = "Dynamic")]
struct Object<'a> {
    model: &'a dyn std::fmt::Debug,
}

#[checkpointed(owned = "Tables")]
struct Slices<'a> {
    rows: &'a [[f64; 64]],
}

#[checkpointed(owned = "Viewed")]
struct Viewing<'a> {
    view: View<'a>,
    text: Cow<'a, str>,
}

#[derive(serde::Serialize)]
struct View<'a>(&'a [f64]);

fn main() {}
