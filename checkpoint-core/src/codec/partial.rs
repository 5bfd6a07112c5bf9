//! Values of which serde writes only a part.
//!
//! Nothing in what is written tells of the rest: so they are recognised by their types. A value in
//! a `Box`, an `Rc`, a `Mutex`, a `Reverse` or a type with `#[serde(transparent)]` is not: serde
//! writes these as what is inside.

use std::any::type_name;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::RangeInclusive;

use serde::{Serialize, Serializer};

use super::{Failure, Result};
use crate::arrays::Forgotten;

/// The beginnings of the names of their types. A name may be another one with another compiler:
/// tests would find that.
const NAMES: [&str; 2] = ["core::ops::range::RangeInclusive<", "core::net::socket_addr::SocketAddr"];

/// A value of which serde writes only a part.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Partial {
    /// A range that was used up, and has one number for serde.
    Spent(Bound),
    /// An address with a scope, or with a label of its flow.
    Labelled {
        /// True if its text has all of it.
        is_whole_as_text: bool,
    },
}

macro_rules! bounds {
    ($($name:ident($type:ty): $after:expr, $before:expr;)*) => {
        /// The type of the numbers in a range.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Bound {
            $($name,)*
        }

        fn spent(value: Forgotten<'_>) -> Option<Bound> {
            $(if let Some(range) = value.as_one::<RangeInclusive<$type>>() {
                let is_spent = range.is_empty() && range.start() <= range.end();
                return is_spent.then_some(Bound::$name);
            })*
            None
        }

        impl Bound {
            /// Writes an empty range.
            fn write<S: Serializer>(self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                match self {
                    $(Bound::$name => RangeInclusive::<$type>::new($after, $before).serialize(serializer),)*
                }
            }
        }
    };
}

bounds! {
    U8(u8): 1, 0;
    U16(u16): 1, 0;
    U32(u32): 1, 0;
    U64(u64): 1, 0;
    U128(u128): 1, 0;
    Usize(usize): 1, 0;
    I8(i8): 1, 0;
    I16(i16): 1, 0;
    I32(i32): 1, 0;
    I64(i64): 1, 0;
    I128(i128): 1, 0;
    Isize(isize): 1, 0;
    Char(char): '\u{1}', '\0';
    V4(Ipv4Addr): Ipv4Addr::BROADCAST, Ipv4Addr::UNSPECIFIED;
    V6(Ipv6Addr): Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED;
}

/// Recognises such a value, and a reference to one.
#[inline]
pub(crate) fn partial<T: ?Sized>(value: &T) -> Option<Partial> {
    // The size and the name are constants, so this is no work for most types.
    let may_be = match size_of_val(value) {
        3 | 6 | 9 | 12 | 20 | 24 | 28 | 32 | 33 | 36 | 48 => may_be_partial(type_name::<T>()),
        size if size == size_of::<usize>() => {
            let name = type_name::<T>().as_bytes();
            // References to all elements of collections come here: the others are told apart early.
            matches!(name, [b'&', b'c', b'o', ..]) && may_be_partial(type_name::<T>())
        }
        _ => false,
    };
    if may_be { found(Forgotten::of(value)) } else { None }
}

#[inline]
fn may_be_partial(name: &str) -> bool {
    let name = name.strip_prefix('&').unwrap_or(name);
    name.starts_with(NAMES[0]) || name.starts_with(NAMES[1])
}

#[inline(never)]
fn found(value: Forgotten<'_>) -> Option<Partial> {
    let address = match value.as_one::<SocketAddr>() {
        Some(SocketAddr::V6(address)) => Some(address),
        _ => value.as_one::<SocketAddrV6>(),
    };
    match address {
        Some(address) if address.flowinfo() != 0 || address.scope_id() != 0 => {
            Some(Partial::Labelled { is_whole_as_text: address.flowinfo() == 0 })
        }
        _ => spent(value).map(Partial::Spent),
    }
}

impl Partial {
    /// Writes another value in its place, which is the same to the program.
    ///
    /// # Errors
    /// There is no such value.
    pub(super) fn write<S: Serializer<Error = Failure>>(self, serializer: S) -> Result<S::Ok> {
        match self {
            Partial::Spent(bound) => bound.write(serializer),
            Partial::Labelled { .. } => Err(Failure::new(self.refusal().to_owned())),
        }
    }

    /// True if a text has all of it.
    pub(crate) fn is_whole_as_text(self) -> bool {
        matches!(self, Partial::Labelled { is_whole_as_text: true })
    }

    /// What would be lost, and the way out.
    pub(crate) fn refusal(self) -> &'static str {
        match self {
            Partial::Spent(_) => {
                "serde does not write that a `RangeInclusive` was used up, so its last number would come again: \
                 leave `checkpointed::self_describing` or `checkpointed::json` out, or store a `Range`"
            }
            Partial::Labelled { .. } => {
                "serde writes neither the scope nor the flow label of an IPv6 address, so it would lead elsewhere \
                 when it is loaded: store the `Ipv6Addr`, the port, the scope and the label each in a field of its own"
            }
        }
    }
}

#[cfg(all(test, not(shuttle)))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv6Addr;

    use super::*;
    use crate::{Checkpoint, Checkpointer, Plain};

    fn loaded<T: Checkpoint>(value: &T) -> T {
        let directory = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpointer::<T>::open(directory.path()).unwrap();
        checkpoints.save(value).unwrap();
        checkpoints.load().unwrap().unwrap()
    }

    fn refused<T: Checkpoint>(value: &T, why: &str) {
        let directory = tempfile::tempdir().unwrap();
        let error = Checkpointer::<T>::open(directory.path()).unwrap().save(value).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }

    #[test]
    fn a_range_that_was_used_up_comes_back_used_up() {
        macro_rules! comes_back {
            ($($type:ty: $first:expr, $last:expr;)*) => {$(
                let range = || RangeInclusive::<$type>::new($first, $last);
                let (mut forwards, mut backwards) = (range(), range());
                forwards.by_ref().for_each(drop);
                while backwards.next_back().is_some() {}
                for spent in [&forwards, &backwards] {
                    assert_eq!(loaded(spent).count(), 0, "{}", stringify!($type));
                    let within = vec![Some(spent.clone()), Some(range()), None];
                    let counts = loaded(&within).into_iter().map(|range| range.map(Iterator::count));
                    let expected = Some(range().count());
                    assert_eq!(counts.collect::<Vec<_>>(), [Some(0), expected, None], "{}", stringify!($type));
                    let by_key = BTreeMap::from([(1_u8, (spent.clone(), range()))]);
                    let (found, other) = loaded(&by_key).remove(&1).unwrap();
                    assert_eq!((found.count(), Some(other.count())), (0, expected));
                }
                let mut begun = range();
                begun.next();
                assert_eq!(loaded(&begun), begun);
                assert_eq!(loaded(&RangeInclusive::<$type>::new($last, $first)).count(), 0);
            )*};
        }
        comes_back! {
            u8: 254, 255;
            u16: 0, 3;
            u32: 1, 3;
            u64: u64::MAX - 1, u64::MAX;
            u128: 0, 1;
            usize: 0, 2;
            i8: -128, -126;
            i16: -1, 1;
            i32: i32::MIN, i32::MIN + 1;
            i64: -3, -2;
            i128: -3, 2;
            isize: -1, 2;
            char: 'a', 'c';
            Ipv4Addr: Ipv4Addr::new(10, 0, 0, 254), Ipv4Addr::new(10, 0, 1, 1);
            Ipv6Addr: Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST;
        }
    }

    #[derive(Clone, Debug, Serialize, serde::Deserialize)]
    struct Held<T> {
        value: T,
        within: (u8, Vec<T>),
    }

    #[derive(Serialize, serde::Deserialize)]
    struct Described<T: Serialize + serde::de::DeserializeOwned> {
        #[serde(with = "crate::self_describing")]
        value: T,
    }

    #[derive(Serialize, serde::Deserialize)]
    struct InJson<T: Serialize + serde::de::DeserializeOwned> {
        #[serde(with = "crate::json")]
        value: T,
    }

    #[test]
    fn a_range_that_was_used_up_is_not_described() {
        let mut spent = 1_u32..=3;
        spent.by_ref().for_each(drop);
        let held = Held { value: spent.clone(), within: (0, vec![spent.clone()]) };
        let found = loaded(&Plain(held.clone())).0;
        assert_eq!((found.value.count(), found.within.1.into_iter().flatten().count()), (0, 0));
        refused(&Plain(Described { value: spent.clone() }), "was used up");
        refused(&Plain(InJson { value: spent.clone() }), "was used up");
        refused(&Plain(Described { value: Some(held.clone()) }), "was used up");
        refused(&Plain(InJson { value: vec![Some(held)] }), "was used up");
        assert_eq!(loaded(&Plain(Described { value: 1..=3_u8 })).0.value, 1..=3);
        assert_eq!(loaded(&Plain(InJson { value: 1..=3_u8 })).0.value, 1..=3);
    }

    #[test]
    fn an_address_with_a_scope_or_a_label_is_refused() {
        let address = |label, scope| SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7000, label, scope);
        assert_eq!(loaded(&address(0, 0)), address(0, 0));
        assert_eq!(loaded(&SocketAddr::V6(address(0, 0))), SocketAddr::V6(address(0, 0)));
        for (label, scope) in [(0, 3), (5, 0), (5, 3)] {
            let address = address(label, scope);
            refused(&address, "neither the scope nor the flow label");
            refused(&SocketAddr::V6(address), "neither the scope nor the flow label");
            refused(&vec![Some(address)], "neither the scope nor the flow label");
            refused(&Plain(Described { value: address }), "neither the scope nor the flow label");
            let in_json = Plain(InJson { value: vec![SocketAddr::V6(address)] });
            if label == 0 {
                // The text has the scope.
                assert_eq!(loaded(&in_json).0.value, in_json.0.value);
            } else {
                refused(&in_json, "neither the scope nor the flow label");
                let keys = Plain(InJson { value: BTreeMap::from([(address, 1)]) });
                refused(&keys, "neither the scope nor the flow label");
            }
        }
    }
}
