//! Older names of types, fields and variants, and defaults of fields, as the program gives them.
//! They are in no manifest.

use serde::{Deserialize, Serialize};

/// The older names of a definition, of its members, and of the types in them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Former {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    types: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    members: Vec<Member>,
}

/// A field or a variant, or a field of a variant.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Member {
    path: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    types: Vec<String>,
    /// True if the field gets a default where a checkpoint lacks it; `None` where its type decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default: Option<bool>,
}

impl Former {
    pub(crate) fn add_type(&mut self, name: &str) {
        self.types.push(name.to_owned());
    }

    pub(crate) fn add_alias(&mut self, path: &[&str], name: &str) {
        self.member(path).aliases.push(name.to_owned());
    }

    pub(crate) fn add_type_in(&mut self, path: &[&str], name: &str) {
        self.member(path).types.push(name.to_owned());
    }

    pub(crate) fn set_default(&mut self, path: &[&str], has_default: bool) {
        self.member(path).default = Some(has_default);
    }

    /// True if such a field gets a default where a checkpoint lacks it; `None` where its type
    /// decides.
    pub(crate) fn default_of(&self, variant: Option<&str>, name: &str) -> Option<bool> {
        self.known(variant, name)?.default
    }

    /// The older names of the type itself.
    pub(crate) fn types(&self) -> &[String] {
        &self.types
    }

    /// The older names of a field (in `variant` if it is in one), or of a variant.
    pub(crate) fn aliases(&self, variant: Option<&str>, name: &str) -> &[String] {
        self.known(variant, name).map_or(&[], |member| &member.aliases)
    }

    /// The older names of the types in such a field.
    pub(crate) fn types_in(&self, variant: Option<&str>, name: &str) -> &[String] {
        self.known(variant, name).map_or(&[], |member| &member.types)
    }

    /// The older names of the types in a definition with a single member.
    pub(crate) fn types_inside(&self) -> impl Iterator<Item = &str> {
        self.members.iter().flat_map(|member| &member.types).map(String::as_str)
    }

    fn known(&self, variant: Option<&str>, name: &str) -> Option<&Member> {
        let is_it = |path: &[String]| match (path, variant) {
            ([only], None) => only == name,
            ([first, last], Some(variant)) => first == variant && last == name,
            _ => false,
        };
        self.members.iter().find(|member| is_it(&member.path))
    }

    fn member(&mut self, path: &[&str]) -> &mut Member {
        let known = self.members.iter().position(|member| member.path == path);
        let place = known.unwrap_or_else(|| {
            let path = path.iter().map(|step| (*step).to_owned()).collect();
            self.members.push(Member { path, aliases: Vec::new(), types: Vec::new(), default: None });
            self.members.len() - 1
        });
        &mut self.members[place]
    }
}
