//! The signals between parts of this library through the interface of serde, which has no arrays of
//! numbers, and no fixed arrays beyond 32.
//!
//! `Serialize` and `Deserialize` of a type are generic over the format. Some implementations are of
//! this library. They must know if the other side is of this library too, without a bound that a
//! user's type would have to meet. So each side looks at the type of the other by [`typeid`], which
//! takes types with lifetimes, unlike `TypeId`. It takes two types that differ in lifetimes alone
//! for the same. That is harmless, because no value of the one is made from the other.
//!
//! | question | asked by | consequence of yes |
//! |---|---|---|
//! | [`is_writer`] | fixed arrays (`state::adapter`) | all elements are written as one sequence, with the shape |
//! | [`is_reader`] | fixed arrays | they are read from one sequence |
//! | [`trace::is_tracer`](crate::trace::is_tracer) | fixed arrays | the dimensions are told by [`trace::GRID`](crate::trace::GRID), then the sequence |
//! | `evolution::is_value` | `Vec`s of fixed arrays | rows are asked for by [`arrays::ROWS`](crate::arrays::ROWS) |
//! | [`arrays::view`](crate::arrays::view) | the writer, of a sequence | it is a contiguous array of numbers: its bytes are taken |
//! | [`arrays::visitor_reads`](crate::arrays::visitor_reads) | the readers, of a visitor | it makes a `Vec` of numbers: it is given one |
//!
//! Names that begin with a zero byte replace methods that serde lacks; no type has such a name. A
//! newtype of the name [`arrays::ROWS`](crate::arrays::ROWS) is a sequence with a visitor that
//! makes a `Vec`. [`arrays::Whole`](crate::arrays::Whole) is an array that passes through
//! `collect_seq` disguised as an empty sequence of bytes. Only the codec of this library gets
//! these: each is behind a question above, so another format never sees one.

use super::Reader;
use super::writer::Place;

/// True if `S` is the serializer of [`encode`](super::encode), and not that of another format.
pub(crate) fn is_writer<S>() -> bool {
    typeid::of::<S>() == typeid::of::<Place<'static, 'static>>()
}

/// True if `D` is the deserializer of [`decode`](super::decode).
pub(crate) fn is_reader<D>() -> bool {
    typeid::of::<D>() == typeid::of::<&'static mut Reader<'static, 'static>>()
}
