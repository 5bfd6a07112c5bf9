//! Bytes, bits, flags and sets of small numbers.

use crate::row::Trial;
use crate::same::eq;

bitflags::bitflags! {
    /// Declared as in a program.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    pub struct Walls: u8 {
        const NORTH = 1;
        const EAST = 2;
        const SOUTH = 4;
    }
}

/// Declared as in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, enum_map::Enum, serde::Serialize, serde::Deserialize)]
pub enum Phase {
    Solid,
    Liquid,
    Gas,
}

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    {
        use bytes::{Bytes, BytesMut};
        rows! { trials, "bytes":
            bytes: [Bytes] eq => [Bytes::from_static(b"abc"), Bytes::new()];
            bytes_mut: [BytesMut] eq => [BytesMut::from(&b"abc"[..]), BytesMut::new()];
        }
    }
    {
        use serde_bytes::{ByteArray, ByteBuf};
        rows! { trials, "serde_bytes":
            byte_buf: [ByteBuf] eq => [ByteBuf::from(vec![1, 2, 3]), ByteBuf::new()];
            byte_array_5: [ByteArray<5>] eq => [ByteArray::new([1, 2, 3, 4, 5])];
        }
    }
    {
        use bitvec::prelude::{BitArr, BitArray, BitVec, Lsb0, Msb0, bitarr, bitvec};
        rows! { trials, "bitvec":
            bit_vec: [BitVec] eq => [bitvec![1, 0, 1, 1], BitVec::new()];
            bit_vec_u8_msb0: [BitVec<u8, Msb0>] eq => [bitvec![u8, Msb0; 1; 100]];
            bit_arr_70_u64: [BitArr!(for 70, in u64)] eq => [bitarr![u64, Lsb0; 1; 70]];
            bit_array_u8_4: [BitArray<[u8; 4]>] eq => [BitArray::new([1, 2, 3, 255])];
        }
    }
    {
        use fixedbitset::FixedBitSet;
        rows! { trials, "fixedbitset":
            fixed_bit_set: [FixedBitSet] eq => [[1, 70].into_iter().collect(), FixedBitSet::new()];
        }
    }
    {
        use bit_vec::BitVec;
        rows! { trials, "bit-vec":
            bit_vec: [BitVec] eq => [BitVec::from_fn(70, |bit| bit % 3 == 0), BitVec::new()];
        }
    }
    {
        use bit_set::BitSet;
        rows! { trials, "bit-set":
            bit_set: [BitSet] eq => [[1, 70].into_iter().collect(), BitSet::new()];
        }
    }
    {
        use roaring::{RoaringBitmap, RoaringTreemap};
        rows! { trials, "roaring":
            roaring_treemap: [RoaringTreemap] eq => [
                [1, 1 << 40].into_iter().collect(),
                RoaringTreemap::new(),
            ];
            roaring_bitmap: [RoaringBitmap] eq => [
                (0..5000).chain([1 << 20]).collect(),
                RoaringBitmap::new(),
            ];
        }
    }
    {
        rows! { trials, "bitflags":
            walls: [Walls] eq => [Walls::NORTH | Walls::SOUTH, Walls::empty()];
        }
    }
    {
        use enum_map::{EnumMap, enum_map};
        rows! { trials, "enum-map":
            enum_map_phase_f64: [EnumMap<Phase, f64>] eq => [
                enum_map! { Phase::Solid => 0.5, Phase::Liquid => 1.5, Phase::Gas => 2.5 },
            ];
            enum_map_phase_vec: [EnumMap<Phase, Vec<f64>>] eq => [
                enum_map! { Phase::Liquid => vec![0.5], _ => Vec::new() },
            ];
        }
    }
    trials
}
