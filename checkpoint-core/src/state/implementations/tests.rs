#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::{CString, OsString};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{NonZero, Saturating, Wrapping};
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, SystemTime};

use super::super::{Checkpoint, Plain};
use crate::arrays::none::{decode, encode};
use crate::evolution::differences;
use crate::schema::Schema;

/// Checks that the schema of a type is what serde asks for when the type is read.
#[track_caller]
fn agrees<T: Checkpoint>() {
    let (says, asks) = (Schema::of::<T>(), Schema::of::<Plain<T>>());
    assert_eq!(differences(&says, &asks), [], "{says} and {asks}");
    // The same with other types around it, so that definitions are shifted.
    let (says, asks) = (Schema::of::<(Duration, Vec<T>)>(), Schema::of::<Plain<(Duration, Vec<T>)>>());
    assert_eq!(differences(&says, &asks), [], "{says} and {asks}");
}

macro_rules! agree {
    ($($ty:ty),* $(,)?) => { $(agrees::<$ty>();)* };
}

#[test]
fn what_a_type_says_of_itself_is_what_serde_asks_for() {
    agree!(bool, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, char, String, ());
    agree!(Box<str>, PathBuf, CString, Cow<'static, str>, Cow<'static, [u8]>, Box<[u16]>, Box<u64>);
    agree!(NonZero<u8>, NonZero<i128>, NonZero<usize>, AtomicBool, AtomicU8, AtomicI64, AtomicUsize);
    agree!(
        Vec<(u32, Option<String>)>,
        VecDeque<u8>,
        LinkedList<u8>,
        BinaryHeap<u8>,
        BTreeSet<u8>,
        HashSet<u8>
    );
    agree!(BTreeMap<String, Vec<u8>>, HashMap<(u8, char), Option<Option<f32>>>, Result<u8, String>);
    agree!(Wrapping<u8>, Saturating<i16>, Reverse<u8>, Cell<u8>, RefCell<u8>, Mutex<Vec<u8>>, RwLock<u8>);
    agree!(PhantomData<String>, Range<u8>, RangeInclusive<f64>, Duration, SystemTime);
    agree!(IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6);
    agree!([f64; 0], [f64; 1], [[u8; 3]; 32], [(u8, u16); 4]);
    agree!(
        (u8,),
        (u8, u8),
        (u8, u16, (u32, [u64; 2])),
        (u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, char)
    );
}

/// Checks that values, as bincode writes them, are as long as the schema says, and come back.
#[track_caller]
fn comes_back<T: Checkpoint + Debug>(value: &T, length: usize) {
    let mut bytes = Vec::new();
    encode(value, &mut bytes).unwrap();
    assert_eq!(bytes.len(), length, "{}", Schema::of::<T>());
    assert_eq!(format!("{:?}", decode::<T>(&bytes).unwrap()), format!("{value:?}"));
}

#[test]
fn values_are_written_in_the_form_that_their_schema_says() {
    comes_back(&(1_usize, -1_isize, NonZero::new(3_u8).unwrap()), 8 + 8 + 1);
    comes_back(&Duration::new(1, 2), 8 + 4);
    comes_back(&(SystemTime::UNIX_EPOCH + Duration::new(1, 2)), 8 + 4);
    comes_back(&IpAddr::from([1, 2, 3, 4]), 4 + 4);
    comes_back(&SocketAddr::from(([1_u16; 8], 80)), 4 + 16 + 2);
    comes_back(&Ipv4Addr::LOCALHOST, 4);
    comes_back(&PathBuf::from("/ä"), 8 + 3);
    comes_back(&CString::new("abc").unwrap(), 8 + 3);
    comes_back(&OsString::from("abc"), 4 + 8 + 3);
    comes_back(&(PhantomData::<String>, ()), 0);
    comes_back(&(1_u16..=3, 1_u8..2), 4 + 2);
    comes_back(&Err::<u8, u16>(7), 4 + 2);
    comes_back(&(Wrapping(1_u8), Saturating(2_u16), Reverse(3_u32), Cell::new(4_u64)), 1 + 2 + 4 + 8);
    comes_back(&(RefCell::new(1_u8), Mutex::new(2_u8), RwLock::new(3_u8), AtomicBool::new(true)), 4);
    comes_back(&(Cow::Borrowed("a"), Box::<str>::from("b"), Box::<[u8]>::from([1])), 3 * (8 + 1));
    comes_back(&[Some([1_u8; 3]), None], 4 + 1);
    comes_back(&BTreeMap::from([(1_u8, 'a')]), 8 + 2);
}

#[test]
fn an_os_string_looks_the_same_on_every_platform() {
    let schema = Schema::of::<OsString>();
    let described: Vec<String> = match &schema.types[0].body {
        super::Body::Enum(variants) => variants.iter().map(|variant| format!("{variant:?}")).collect(),
        super::Body::Struct(_) => Vec::new(),
    };
    assert!(described[0].contains("Unix") && described[0].contains("U8"), "{described:?}");
    assert!(described[1].contains("Windows") && described[1].contains("U16"), "{described:?}");
}

#[test]
fn a_type_that_occurs_twice_is_defined_once() {
    let schema = Schema::of::<(Duration, Vec<Duration>, Result<Duration, SystemTime>)>();
    assert_eq!(schema.types.len(), 3, "{schema:?}");
    assert!(schema.is_closed());
}
