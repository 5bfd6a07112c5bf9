//! [`Types`]: the collected schemas of types.

use std::any::TypeId;
use std::collections::HashMap;

use super::Checkpoint;
use super::migrate::Pending;
use crate::evolution::{self, Migrated};
use crate::schema::{self, Body, Definition, Fields, Former, OpaquePart, Schema, Type, hidden};
use crate::trace::Traced;

impl Schema {
    /// The schema of `T`.
    #[must_use]
    pub fn of<T: Checkpoint>() -> Schema {
        let mut types = Types::default();
        let root = T::schema(&mut types);
        Schema { root, types: types.definitions }
    }

    /// The parts of unknown form: some types of other crates do not tell theirs.
    ///
    /// A state with such parts loads as long as their types stay the same, whatever changes beside
    /// them. The written values complete the schema in each checkpoint, as far as they have one
    /// form. If such a part should be able to change, store it in a form that describes itself
    /// *before* the first save: put `#[serde(with = "checkpointed::self_describing")]` on its
    /// field, or on the field that holds it. Opening a directory warns of such parts, by
    /// [`tracing`].
    ///
    /// ```
    /// use checkpointed::{Plain, schema::Schema};
    /// # use serde::{Deserialize, Deserializer, Serialize, de::Error};
    /// # #[derive(Serialize)]
    /// # struct Secret(String);
    /// # impl<'de> Deserialize<'de> for Secret {
    /// #     fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
    /// #         let text = String::deserialize(deserializer)?;
    /// #         if text == "open sesame" { Ok(Secret(text)) } else { Err(D::Error::custom("no")) }
    /// #     }
    /// # }
    ///
    /// // `Secret` accepts one text only, so the value after it is never reached.
    /// let parts = Schema::of::<Plain<Vec<(Secret, u16)>>>().opaque_parts();
    /// let lines: Vec<String> = parts.iter().map(ToString::to_string).collect();
    /// assert_eq!(lines, ["[].1: u16 behind Secret, of which no sample could be made"]);
    /// ```
    #[must_use]
    pub fn opaque_parts(&self) -> Vec<OpaquePart> {
        evolution::opaque(self).into_iter().map(|(path, name)| OpaquePart { path, name }).collect()
    }
}

/// Collects the definitions of a schema while [`Checkpoint::schema`] walks through the types.
#[derive(Debug, Default)]
pub struct Types {
    pub(super) definitions: Vec<Definition>,
    known: HashMap<TypeId, Type>,
    /// The types that give their schema themselves, not by way of serde, by their places.
    pub(super) defined: HashMap<usize, TypeId>,
    pub(super) migrations: Vec<Pending>,
    /// True if a type was met with serde code that may not be derived.
    pub(super) has_foreign_parts: bool,
    /// The older names of the definitions and of their members, by their places.
    pub(super) former: HashMap<usize, Former>,
}

impl Types {
    /// The struct or enum `T`. `body` is called once, however often and however recursively `T`
    /// occurs.
    pub fn define<T: 'static>(
        &mut self,
        name: &str,
        version: u32,
        body: impl FnOnce(&mut Types) -> Body,
    ) -> Type {
        self.has_foreign_parts = true;
        self.define_derived::<T>(name, version, body)
    }

    /// Like [`define_derived`](Types::define_derived), for a type of which only the name tells what
    /// its fields mean, such as a range with its end or without.
    pub(super) fn define_by_name<T: 'static>(
        &mut self,
        name: &str,
        body: impl FnOnce(&mut Types) -> Body,
    ) -> Type {
        let ty = self.define_derived::<T>(name, 1, body);
        if let Type::Named(place) = ty
            && let Some(definition) = self.definitions.get_mut(place)
        {
            definition.foreign = true;
        }
        ty
    }

    /// Like [`define`](Types::define), for a type with derived serde code and a derived schema, so
    /// that they cannot disagree.
    #[doc(hidden)]
    pub fn define_derived<T: 'static>(
        &mut self,
        name: &str,
        version: u32,
        body: impl FnOnce(&mut Types) -> Body,
    ) -> Type {
        if let Some(ty) = self.known.get(&TypeId::of::<T>()) {
            return ty.clone();
        }
        let place = self.definitions.len();
        let ty = Type::Named(place);
        self.known.insert(TypeId::of::<T>(), ty.clone());
        self.defined.insert(place, TypeId::of::<T>());
        // Holds the place while the body, which may refer to it, is collected.
        self.definitions.push(Definition {
            name: name.to_owned(),
            version,
            foreign: false,
            observed: false,
            body: Body::Struct(Fields::Unit),
        });
        let body = body(self);
        if let Some(definition) = self.definitions.get_mut(place) {
            definition.body = hidden::allowed(body);
        }
        ty
    }

    /// Adds a function that makes the struct or enum `New` from an older version of it.
    /// [`Checkpoint::schema`] calls this where it [defines](Types::define) `New`.
    /// `#[checkpointed(migrate(from = …, with = …))]` stands for such a call; `Old` has version
    /// `FROM`.
    ///
    /// ```
    /// # use checkpointed::{Checkpoint, schema::{Body, Field, Fields, Type}, traits::Types};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize)]
    /// struct Celsius { degrees: f64 }
    ///
    /// impl Checkpoint for Celsius {
    ///     const NAME: &'static str = "temperature";
    ///     const VERSION: u32 = 2;
    ///
    ///     fn schema(types: &mut Types) -> Type {
    ///         // Version 1 was a number, in kelvins.
    ///         let from_kelvins = |kelvins: f64| Celsius { degrees: kelvins - 273.15 };
    ///         types.migrate::<1, Self, _, _, _>(from_kelvins);
    ///         types.define::<Self>(Self::NAME, Self::VERSION, |types| {
    ///             let degrees = Field { name: "degrees".to_owned(), ty: f64::schema(types) };
    ///             Body::Struct(Fields::Named(vec![degrees]))
    ///         })
    ///     }
    /// }
    /// # assert_eq!(checkpointed::schema::Schema::of::<Celsius>().types[0].version, 2);
    /// ```
    pub fn migrate<const FROM: u32, New, Old, R, F>(&mut self, migration: F)
    where
        New: Checkpoint,
        Old: Checkpoint,
        R: Migrated<New>,
        F: Fn(Old) -> R + Send + Sync + 'static,
    {
        self.migrations.push(Pending::new::<FROM, New, Old, R, F>(migration));
    }

    /// Adds an older name of the struct or enum `T`. [`Checkpoint::schema`] calls this where it
    /// [defines](Types::define) `T`. `#[checkpointed(was_type = "…")]` on a type stands for such a
    /// call.
    ///
    /// ```
    /// # use checkpointed::schema::{Body, Fields, Type};
    /// # use checkpointed::{Checkpoint, Checkpointer, CheckpointReader, traits::Types};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize)]
    /// struct Metres(f64);
    ///
    /// impl Checkpoint for Metres {
    ///     const NAME: &'static str = "Metres";
    ///
    ///     fn schema(types: &mut Types) -> Type {
    ///         types.define::<Self>(Self::NAME, Self::VERSION, |types| {
    ///             types.was_type::<Self>("Length");
    ///             Body::Struct(Fields::Newtype(f64::schema(types)))
    ///         })
    ///     }
    /// }
    /// ```
    pub fn was_type<T: 'static>(&mut self, name: &str) {
        if let Some(former) = self.former_of::<T>() {
            former.add_type(name);
        }
    }

    /// Adds an older name of a field or a variant of `T`: `#[serde(alias = "…")]`.
    ///
    /// `member` leads to it: `["speed"]` to a field or a variant, `["Run", "since"]` to a field of
    /// a variant. The number of a field without a name is its name here.
    pub fn was_member<T: 'static>(&mut self, member: &[&str], name: &str) {
        if let Some(former) = self.former_of::<T>() {
            former.add_alias(member, name);
        }
    }

    /// Adds an older name of a type in a field of `T`: `#[checkpointed(was_type = "…")]` on a
    /// field. `member` leads to the field, as for [`was_member`](Types::was_member).
    pub fn was_type_in<T: 'static>(&mut self, member: &[&str], name: &str) {
        if let Some(former) = self.former_of::<T>() {
            former.add_type_in(member, name);
        }
    }

    /// Tells if a field of `T` gets a default where a checkpoint lacks it: `#[serde(default)]`.
    /// Where this is not told, an `Option` does, and no other type. `member` leads to the field, as
    /// for [`was_member`](Types::was_member).
    ///
    /// Only [`ExpectedSchema`](crate::ExpectedSchema) asks: a load finds it out by itself.
    pub fn has_default<T: 'static>(&mut self, member: &[&str], has_default: bool) {
        if let Some(former) = self.former_of::<T>() {
            former.set_default(member, has_default);
        }
    }

    fn former_of<T: 'static>(&mut self) -> Option<&mut Former> {
        match self.known.get(&TypeId::of::<T>()) {
            Some(Type::Named(place)) => Some(self.former.entry(*place).or_default()),
            _ => None,
        }
    }

    /// The place of the definition of the struct or enum, if it was met.
    pub(crate) fn place_of(&self, id: TypeId) -> Option<usize> {
        match self.known.get(&id) {
            Some(Type::Named(place)) => Some(*place),
            _ => None,
        }
    }

    /// Adds a type that knows nothing of checkpoints. `trace` finds out its form, once for each
    /// type.
    pub(crate) fn import<T: 'static>(&mut self, trace: impl FnOnce() -> Traced) -> Type {
        self.has_foreign_parts = true;
        self.import_derived::<T>(trace)
    }

    /// Like [`import`](Types::import), for a type that is known to be written as it is read.
    pub(crate) fn import_derived<T: 'static>(&mut self, trace: impl FnOnce() -> Traced) -> Type {
        if let Some(ty) = self.known.get(&TypeId::of::<T>()) {
            return ty.clone();
        }
        let offset = self.definitions.len();
        let Traced { schema: Schema { mut root, mut types }, former } = trace();
        schema::shift(&mut root, offset);
        types.iter_mut().for_each(|definition| definition.types_mut(&mut |ty| schema::shift(ty, offset)));
        self.definitions.append(&mut types);
        self.former.extend(former.into_iter().map(|(place, former)| (place + offset, former)));
        self.known.insert(TypeId::of::<T>(), root.clone());
        root
    }
}
