//! What this library tells itself through the interface of serde, which knows no arrays and no fixed arrays beyond 32.
//!
//! A type's `Serialize` and `Deserialize` are generic: they see a `Serializer` or a `Deserializer` of any format. Some of
//! them are ours, and ours must know whether the other side is ours too, without a bound that a user's type would have to
//! meet. So each side looks at the type of the other, by [`typeid`], which unlike `TypeId` takes types with lifetimes. Two
//! types that differ in lifetimes alone are the same to it; nothing here makes a value of the one from the other, so that
//! is harmless.
//!
//! | question | asked by | what follows from yes |
//! |---|---|---|
//! | [`is_writer`] | fixed arrays (`state::adapter`) | all elements are written as one sequence, with the shape |
//! | [`is_reader`] | fixed arrays | they are read from one sequence |
//! | [`trace::is_tracer`](crate::trace::is_tracer) | fixed arrays | the dimensions are told by [`trace::GRID`](crate::trace::GRID), then the sequence |
//! | `evolution::is_value` | `Vec`s of fixed arrays | rows are asked for by [`arrays::ROWS`](crate::arrays::ROWS) |
//! | [`arrays::view`](crate::arrays::view) | the writer, of a sequence | it is a contiguous array of numbers: its bytes are taken |
//! | [`arrays::visitor_reads`](crate::arrays::visitor_reads) | the readers, of a visitor | it makes a `Vec` of numbers: it is given one |
//!
//! Names that no type can have, since they begin with a zero byte, stand for what serde has no method for: a newtype
//! called [`arrays::ROWS`](crate::arrays::ROWS) is a sequence whose visitor makes a `Vec`, and
//! [`arrays::Whole`](crate::arrays::Whole) is an array that goes through `collect_seq` in the guise of an empty sequence of
//! bytes. Only our own codec is ever given these: another format never sees them, because each is behind a question above.

use super::{Reader, Writer};

/// Whether this is what [`encode`](super::encode) writes with, and not the serializer of another format.
pub(crate) fn is_writer<S>() -> bool {
    typeid::of::<S>() == typeid::of::<&'static mut Writer<'static>>()
}

/// Whether this is what [`decode`](super::decode) reads with.
pub(crate) fn is_reader<D>() -> bool {
    typeid::of::<D>() == typeid::of::<&'static mut Reader<'static, 'static>>()
}
