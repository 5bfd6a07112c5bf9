//! JSON with enough digits for each number.

use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter};

/// The value as a text.
pub(super) fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, String> {
    let mut text = Vec::with_capacity(128);
    value.serialize(&mut Serializer::with_formatter(&mut text, Exact)).map_err(|error| error.to_string())?;
    String::from_utf8(text).map_err(|error| error.to_string())
}

/// Writes each `f32` so that it is the same by way of an `f64`, as serde's buffers read it.
struct Exact;

impl Formatter for Exact {
    fn write_f32<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        // Of two neighbours at one distance, the even one is taken.
        if value.to_bits() & 1 == 0 {
            return CompactFormatter.write_f32(writer, value);
        }
        let mut buffer = [0; 32];
        let mut rest = &mut buffer[..];
        CompactFormatter.write_f32(&mut rest, value)?;
        let left = rest.len();
        let text = buffer.get(..buffer.len() - left).unwrap_or_default();
        let double: Option<f64> = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        #[allow(clippy::cast_possible_truncation, reason = "this is how it is read")]
        let is_same = double.is_some_and(|double| double as f32 == value);
        if is_same { writer.write_all(text) } else { self.write_f64(writer, value.into()) }
    }
}
