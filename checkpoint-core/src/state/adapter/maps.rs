//! Maps with fixed arrays in their values.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::elements::Read;
use super::{Adapter, LendLeaf};
use crate::arrays::ArrayPool;
use crate::schema::Type;
use crate::state::Types;

/// A map. Its values go through `A`.
#[derive(Debug)]
pub struct Values<A>(PhantomData<A>);

macro_rules! maps {
    ($($map:ident<K: $key:ident, V $(, $state:ident: $hasher:ident)?>;)*) => {$(
        impl<K, V, A $(, $state: $hasher + Default)?> Adapter<$map<K, V $(, $state)?>> for Values<A>
        where
            K: Serialize + for<'de> Deserialize<'de> + $key + Eq,
            A: Adapter<V>,
        {
            fn write<Z: Serializer>(value: &$map<K, V $(, $state)?>, serializer: Z) -> Result<Z::Ok, Z::Error> {
                serializer.collect_map(value.iter().map(|(key, value)| (key, A::part(value))))
            }

            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$map<K, V $(, $state)?>, D::Error> {
                deserializer.deserialize_map(Entries::<K, V, A, _>(PhantomData))
            }

            fn schema(_: &mut Types, _: &mut dyn FnMut(&mut Types) -> Type) -> Type {
                // Never used: the macro knows the keys, and the form that the public adapter reads
                // is traced.
                Type::Opaque(stringify!($map).to_owned())
            }

            fn lend(value: &mut $map<K, V $(, $state)?>, pool: &mut ArrayPool, leaf: LendLeaf<'_>) {
                value.values_mut().for_each(|value| A::lend(value, pool, leaf));
            }
        }
    )*};
}

maps! {
    BTreeMap<K: Ord, V>;
    HashMap<K: Hash, V, S: BuildHasher>;
}

/// Makes an `M` from entries.
struct Entries<K, V, A, M>(PhantomData<(K, V, A, M)>);

impl<'de, K, V, A, M> Visitor<'de> for Entries<K, V, A, M>
where
    K: Deserialize<'de>,
    A: Adapter<V>,
    M: Default + Extend<(K, V)>,
{
    type Value = M;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<E: MapAccess<'de>>(self, mut entries: E) -> Result<M, E::Error> {
        let mut map = M::default();
        while let Some((key, value)) = entries.next_entry::<K, Read<V, A>>()? {
            map.extend([(key, value.0)]);
        }
        Ok(map)
    }
}
