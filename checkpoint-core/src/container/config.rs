//! The configuration of a run, as stored in the manifest: each setting by its path, with its value
//! as text.

mod flatten;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The settings of a run: pairs of a path, such as `optimizer/rate`, and a value as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Config(BTreeMap<String, String>);

/// The most settings of a configuration.
const MOST_SETTINGS: usize = 10_000;

/// The greatest length of all its text, in bytes.
const MOST_BYTES: usize = 1 << 20;

impl Config {
    /// Takes apart a value into its settings.
    ///
    /// # Errors
    /// The reason that it is no configuration.
    pub(crate) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Config, String> {
        flatten::flatten(value).map(Config)
    }

    /// Iterates over the settings, sorted by path.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, value)| (path.as_str(), value.as_str()))
    }

    /// Gives a setting, or all of a group of settings, another name, unless that is taken.
    pub(crate) fn rename(&mut self, before: &str, now: &str) {
        let moved: Vec<(String, String)> = self
            .0
            .keys()
            .filter_map(|path| Some((path.clone(), format!("{now}{}", below(path, before)?))))
            .collect();
        for (from, to) in moved {
            if !self.0.contains_key(&to)
                && let Some(value) = self.0.remove(&from)
            {
                self.0.insert(to, value);
            }
        }
    }

    /// The differences between the configuration of a checkpoint and the present one.
    pub(crate) fn differences(&self, now: &Config) -> Vec<ConfigDifference> {
        let paths = self.0.keys().chain(now.0.keys().filter(|path| !self.0.contains_key(*path)));
        let mut differences: Vec<ConfigDifference> = paths
            .filter_map(|path| {
                let (before, now) = (self.0.get(path).cloned(), now.0.get(path).cloned());
                (before != now).then(|| ConfigDifference { path: path.clone(), before, now })
            })
            .collect();
        differences.sort_by(|one, other| one.path.cmp(&other.path));
        differences
    }
}

/// The rest of a path behind a step or several; `None` where it does not begin with them.
fn below<'p>(path: &'p str, group: &str) -> Option<&'p str> {
    path.strip_prefix(group).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A setting that differs between a checkpoint and the program that loads it; see
/// [`Builder::config`](crate::Builder::config).
///
/// Displays as `learning_rate: 0.1 in the checkpoint, 0.01 now`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigDifference {
    /// The path of the setting, such as `optimizer/rate`; empty if the configuration is one value.
    pub path: String,
    /// The value in the checkpoint; `None` if it is absent there.
    pub before: Option<String>,
    /// The present value; `None` if it is absent now.
    pub now: Option<String>,
}

impl ConfigDifference {
    /// True if the setting has this path, or is in the group of that path.
    pub(crate) fn is_in(&self, group: &str) -> bool {
        below(&self.path, group).is_some()
    }
}

impl fmt::Display for ConfigDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigDifference { path, before, now } = self;
        let path = if path.is_empty() { "the configuration" } else { path };
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
        write!(formatter, "{path}: {} in the checkpoint, {} now", value(before), value(now))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Clone, Serialize)]
    enum Kind {
        Sgd,
        Adam { beta: (f64, f32) },
        Other(u8),
        Pair(i8, i8),
    }

    #[derive(Clone, Serialize)]
    struct Arguments {
        learning_rate: f64,
        single: f32,
        epochs: u64,
        kind: Kind,
        name: String,
        seed: Option<u64>,
        layers: Vec<usize>,
        sizes: HashMap<String, u32>,
        flag: bool,
        letter: char,
        large: u128,
    }

    fn arguments() -> Arguments {
        Arguments {
            learning_rate: 0.1,
            single: 0.1,
            epochs: 10,
            kind: Kind::Adam { beta: (0.9, -0.0) },
            name: "a \"b\"".to_owned(),
            seed: None,
            layers: vec![3, 4],
            sizes: HashMap::from([("a/b".to_owned(), 1), ("%".to_owned(), 2)]),
            flag: true,
            letter: 'x',
            large: u128::MAX,
        }
    }

    #[test]
    fn each_setting_has_its_path_and_its_exact_value() {
        let config = Config::of(&arguments()).unwrap();
        let found: Vec<(&str, &str)> = config.iter().collect();
        assert_eq!(
            found,
            [
                ("epochs", "10"),
                ("flag", "true"),
                ("kind", "Adam"),
                ("kind/Adam/beta/0", "0.9"),
                ("kind/Adam/beta/1", "-0.0"),
                ("large", "340282366920938463463374607431768211455"),
                ("layers/0", "3"),
                ("layers/1", "4"),
                ("learning_rate", "0.1"),
                ("letter", r#""x""#),
                ("name", r#""a \"b\"""#),
                ("seed", "None"),
                ("single", "0.1"),
                ("sizes/%25", "2"),
                ("sizes/a%2Fb", "1"),
            ]
        );
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    }

    #[test]
    fn differences_are_told_one_by_one_and_equal_values_not() {
        let before = Config::of(&arguments()).unwrap();
        assert_eq!(before.differences(&before), []);
        let mut now = arguments();
        (now.learning_rate, now.seed, now.kind) = (0.1 + f64::EPSILON, Some(7), Kind::Other(1));
        now.layers.push(5);
        let lines: Vec<String> =
            before.differences(&Config::of(&now).unwrap()).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "kind: Adam in the checkpoint, Other now",
                "kind/Adam/beta/0: 0.9 in the checkpoint, absent now",
                "kind/Adam/beta/1: -0.0 in the checkpoint, absent now",
                "kind/Other: absent in the checkpoint, 1 now",
                "layers/2: absent in the checkpoint, 5 now",
                "learning_rate: 0.1 in the checkpoint, 0.10000000000000023 now",
                "seed: None in the checkpoint, 7 now",
            ]
        );
        now.kind = Kind::Pair(1, -1);
        let pair = Config::of(&now).unwrap();
        assert_eq!(pair.iter().filter(|(path, _)| path.starts_with("kind/")).count(), 2);
        now.kind = Kind::Sgd;
        assert!(Config::of(&now).unwrap().iter().any(|setting| setting == ("kind", "Sgd")));
        // NaN is no change of NaN, and zero has a sign.
        let of = |number: f64| Config::of(&number).unwrap();
        assert_eq!(of(f64::NAN).differences(&of(f64::NAN)), []);
        let lines: Vec<String> = of(0.0).differences(&of(-0.0)).iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["the configuration: 0.0 in the checkpoint, -0.0 now"]);
    }

    #[test]
    fn a_renamed_setting_is_found_with_all_that_is_in_it() {
        let mut before = Config::of(&BTreeMap::from([("a", vec![1, 2]), ("ab", vec![3])])).unwrap();
        before.rename("a", "b");
        let found: Vec<(&str, &str)> = before.iter().collect();
        assert_eq!(found, [("ab/0", "3"), ("b/0", "1"), ("b/1", "2")]);
        before.rename("ab/0", "b/0");
        assert_eq!(before.iter().count(), 3, "a name that is taken stays");
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        #[derive(Serialize)]
        struct List(Option<Box<List>>);
        let deep = (0..200).fold(List(None), |list, _| List(Some(Box::new(list))));
        for (why, expected) in [
            (Config::of(&vec![0.0; 20_000]).unwrap_err(), "more than 10000 settings"),
            (Config::of(&"x".repeat(2 << 20)).unwrap_err(), "more than 1048576 bytes"),
            (Config::of(&deep).unwrap_err(), "deep"),
            (Config::of(&HashMap::from([(vec![1, 2], 1)])).unwrap_err(), "key"),
        ] {
            assert!(why.contains(expected), "{why}");
        }
        let empty: [(&str, Config); 3] = [
            ("[]", Config::of(&Vec::<u8>::new()).unwrap()),
            ("{}", Config::of(&HashMap::<u8, u8>::new()).unwrap()),
            ("()", Config::of(&()).unwrap()),
        ];
        for (text, config) in empty {
            assert_eq!(config.iter().collect::<Vec<_>>(), [("", text)]);
        }
    }
}
