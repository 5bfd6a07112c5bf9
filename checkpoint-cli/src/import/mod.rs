//! Readers of the files that `ckpt import` takes: each gives values with names.

mod json;
#[cfg_attr(not(feature = "import"), allow(dead_code, reason = "an archive of arrays uses all of it"))]
mod npy;
#[cfg(feature = "import")]
mod npz;
#[cfg(feature = "import")]
mod safetensors;

use std::path::Path;

use checkpointed_core::inspect::Imported;
use clap::ValueEnum;

/// The format of a file to import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Values with names, and lists of them
    Json,
    /// One array of numpy
    Npy,
    /// Arrays with names, of numpy
    Npz,
    /// Arrays with names, of safetensors
    Safetensors,
}

impl Format {
    /// The format of a file with this name.
    pub(crate) fn of(path: &Path) -> Option<Format> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Format::from_str(&extension, true).ok()
    }
}

/// Reads a file.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(path: &Path, format: Format, is_flat: bool) -> Result<Imported, String> {
    match format {
        Format::Json => json::read(path),
        Format::Npy => npy::read(path),
        #[cfg(feature = "import")]
        Format::Npz => nest(npz::read(path)?, is_flat),
        #[cfg(feature = "import")]
        Format::Safetensors => nest(safetensors::read(path)?, is_flat),
        #[cfg(not(feature = "import"))]
        Format::Npz | Format::Safetensors => {
            let _ = (is_flat, nest);
            Err("this `ckpt` was built without this format: install it with `--features import`".to_owned())
        }
    }
}

/// Puts values with names such as `layers.0.weight` or `layers/0/weight` into each other. Names
/// that count from 0 make a list.
fn nest(values: Vec<(String, Imported)>, is_flat: bool) -> Result<Imported, String> {
    let mut root = Branch::default();
    for (name, value) in values {
        let steps: Vec<&str> = if is_flat { vec![&name] } else { name.split(['/', '.']).collect() };
        if steps.len() > Imported::MOST_DEPTH {
            let start: String = name.chars().take(60).collect();
            let most = Imported::MOST_DEPTH;
            return Err(format!(
                "{start:?}… has {} steps, and values may be inside each other {most} deep: --flat keeps names whole",
                steps.len()
            ));
        }
        root.add(&steps, value)
            .map_err(|()| format!("{name:?} is there twice, or is a part of another name"))?;
    }
    Ok(root.into_value(is_flat))
}

/// Values by the next step of their names, in the order of the file.
#[derive(Default)]
struct Branch(Vec<(String, Node)>);

enum Node {
    Value(Imported),
    Branch(Branch),
}

impl Branch {
    fn add(&mut self, steps: &[&str], value: Imported) -> Result<(), ()> {
        let Some((step, rest)) = steps.split_first() else { return Err(()) };
        let known = self.0.iter_mut().find(|(name, _)| name == step);
        match (known, rest) {
            (None, []) => self.0.push(((*step).to_owned(), Node::Value(value))),
            (None, rest) => {
                let mut branch = Branch::default();
                branch.add(rest, value)?;
                self.0.push(((*step).to_owned(), Node::Branch(branch)));
            }
            (Some((_, Node::Branch(branch))), [_, ..]) => branch.add(rest, value)?,
            _ => return Err(()),
        }
        Ok(())
    }

    fn into_value(self, is_flat: bool) -> Imported {
        let Branch(mut members) = self;
        let number = |name: &str| name.parse::<usize>().ok().filter(|number| number.to_string() == name);
        members.sort_by_key(|(name, _)| number(name));
        let counts = members.iter().enumerate().all(|(place, (name, _))| number(name) == Some(place));
        let values = members.into_iter().map(|(name, node)| match node {
            Node::Value(value) => (name, value),
            Node::Branch(branch) => (name, branch.into_value(is_flat)),
        });
        if counts && !is_flat {
            Imported::List(values.map(|(_, value)| value).collect())
        } else {
            Imported::Fields(values.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &[&str], is_flat: bool) -> String {
        let values = names.iter().map(|name| ((*name).to_owned(), Imported::Null)).collect();
        match nest(values, is_flat) {
            Ok(value) => format!("{value:?}").replace("Null", "-"),
            Err(why) => why,
        }
    }

    #[test]
    fn names_lead_into_structs_and_lists() {
        assert_eq!(
            shown(&["layers.1.w", "layers.0.w", "layers/0/b", "rate"], false),
            r#"Fields([("layers", List([Fields([("w", -), ("b", -)]), Fields([("w", -)])])), ("rate", -)])"#
        );
        assert_eq!(shown(&["a.2", "a.0"], false), r#"Fields([("a", Fields([("0", -), ("2", -)]))])"#);
        assert_eq!(shown(&["a.1", "a.0"], true), r#"Fields([("a.1", -), ("a.0", -)])"#);
    }

    #[test]
    fn a_name_with_a_million_steps_is_refused() {
        let long = "a.".repeat(1_000_000);
        assert!(shown(&[&long], false).contains("has 1000001 steps"));
        assert!(shown(&[&long], true).contains("-)"));
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused() {
        for names in [&["a", "a"][..], &["a", "a.b"], &["a.b", "a"], &["a.b", "a/b"]] {
            assert!(shown(names, false).contains("is there twice"), "{names:?}");
        }
    }
}
