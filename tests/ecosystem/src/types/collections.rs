//! Lists, maps, sets and arenas.

use std::collections::BTreeSet;

use crate::row::Trial;
use crate::same::{by, debug, eq};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    {
        use smallvec::{SmallVec, smallvec};
        rows! { trials, "smallvec":
            small_vec_f64_4: [SmallVec<[f64; 4]>] eq => [
                smallvec![0.5, 1.5],
                smallvec![0.5; 9],
                SmallVec::new(),
            ];
        }
    }
    {
        use arrayvec::{ArrayString, ArrayVec};
        rows! { trials, "arrayvec":
            array_vec_f64_8: [ArrayVec<f64, 8>] eq => [
                [0.5, 1.5].into_iter().collect(),
                ArrayVec::new(),
            ];
            array_string_16: [ArrayString<16>] eq => [
                ArrayString::from("text").unwrap(),
                ArrayString::new(),
            ];
        }
    }
    {
        use tinyvec::{ArrayVec, TinyVec};
        rows! { trials, "tinyvec":
            tiny_vec_u32_4: [TinyVec<[u32; 4]>] eq => [
                [1, 2].into_iter().collect(),
                (0..9).collect(),
                TinyVec::new(),
            ];
            array_vec_f64_4: [ArrayVec<[f64; 4]>] eq => [
                [0.5, 1.5].into_iter().collect(),
                ArrayVec::new(),
            ];
        }
    }
    {
        use heapless::{String, Vec as FixedVec};
        rows! { trials, "heapless":
            fixed_vec_f64_8: [FixedVec<f64, 8>] eq => [
                [0.5, 1.5].into_iter().collect(),
                FixedVec::new(),
            ];
            string_16: [String<16>] eq => [String::try_from("text").unwrap(), String::new()];
            index_map: [heapless::index_map::FnvIndexMap<u32, f64, 8>] eq => [
                [(1, 0.5), (2, 1.5)].into_iter().collect(),
            ];
        }
    }
    {
        use nonempty::{NonEmpty, nonempty};
        rows! { trials, "nonempty":
            non_empty_f64: [NonEmpty<f64>] eq => [nonempty![0.5, 1.5], nonempty![0.5]];
        }
    }
    {
        use vec1::{Vec1, vec1};
        rows! { trials, "vec1":
            vec1_f64: [Vec1<f64>] eq => [vec1![0.5, 1.5]];
        }
    }
    {
        use indexmap::{IndexMap, IndexSet};
        rows! { trials, "indexmap":
            index_map_string_f64: [IndexMap<String, f64>] eq => [
                [("b".to_owned(), 0.5), ("a".to_owned(), 1.5)].into(),
                IndexMap::new(),
            ];
            index_map_u64_vec: [IndexMap<u64, Vec<f64>>] eq => [
                [(7, vec![0.5, 1.5]), (1, Vec::new())].into(),
            ];
            index_set_u8_i16: [IndexSet<(u8, i16)>] eq => [[(2, -1), (1, 1)].into()];
        }
    }
    {
        use hashbrown::{HashMap, HashSet};
        rows! { trials, "hashbrown":
            hash_map_string_f64: [HashMap<String, f64>] eq => [
                [("b".to_owned(), 0.5), ("a".to_owned(), 1.5)].into(),
                HashMap::new(),
            ];
            hash_set_u64: [HashSet<u64>] eq => [(0..20).collect()];
        }
    }
    {
        use dashmap::{DashMap, DashSet};
        let sorted = |map: &DashMap<String, f64>| {
            let mut pairs: Vec<_> = map.iter().map(|pair| (pair.key().clone(), *pair.value())).collect();
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
            pairs
        };
        let elements = |set: &DashSet<u64>| set.iter().map(|element| *element).collect::<BTreeSet<u64>>();
        rows! { trials, "dashmap":
            dash_map_string_f64: [DashMap<String, f64>] by(sorted) => [
                [("b".to_owned(), 0.5), ("a".to_owned(), 1.5)].into_iter().collect(),
                DashMap::new(),
            ];
            dash_set_u64: [DashSet<u64>] by(elements) => [
                (0..20).collect(),
            ];
        }
    }
    {
        use slotmap::{DefaultKey, DenseSlotMap, Key as _, SecondaryMap, SlotMap};
        // One slot is removed, so that the versions of the slots differ.
        let keys = || {
            let mut map = SlotMap::new();
            let keys: Vec<DefaultKey> = (0..3).map(|number| map.insert(f64::from(number))).collect();
            map.remove(keys[1]);
            map.insert(9.5);
            (map, keys[2])
        };
        rows! { trials, "slotmap":
            slot_map_f64: [SlotMap<DefaultKey, f64>] debug => [keys().0, SlotMap::new()];
            dense_slot_map_string: [DenseSlotMap<DefaultKey, String>] debug => [{
                let mut map = DenseSlotMap::new();
                let key = map.insert("a".to_owned());
                map.insert("b".to_owned());
                map.remove(key);
                map
            }, DenseSlotMap::new()];
            secondary_map_u32: [SecondaryMap<DefaultKey, u32>] debug => [
                [(keys().1, 7)].into_iter().collect(),
                SecondaryMap::new(),
            ];
            key: [DefaultKey] eq => [keys().1, DefaultKey::null()];
        }
    }
    {
        use generational_arena::{Arena, Index};
        let arena = || {
            let mut arena = Arena::new();
            let index = arena.insert(0.5);
            arena.insert(1.5);
            arena.remove(index);
            arena.insert(2.5);
            arena
        };
        let all = |arena: &Arena<f64>| arena.iter().map(|(index, value)| (index, *value)).collect::<Vec<_>>();
        rows! { trials, "generational-arena":
            arena_f64: [Arena<f64>] by(all) => [
                arena(),
                Arena::new(),
            ];
            index: [Index] eq => [Index::from_raw_parts(3, 7)];
        }
    }
    {
        use slab::Slab;
        let slab = || {
            let mut slab = Slab::new();
            let key = slab.insert(0.5);
            slab.insert(1.5);
            slab.remove(key);
            slab
        };
        let all = |slab: &Slab<f64>| slab.iter().map(|(key, value)| (key, *value)).collect::<Vec<_>>();
        rows! { trials, "slab":
            slab_f64: [Slab<f64>] by(all) => [
                slab(),
                Slab::new(),
            ];
        }
    }
    {
        use priority_queue::PriorityQueue;
        rows! { trials, "priority-queue":
            priority_queue_string_i64: [PriorityQueue<String, i64>] eq => [
                [("b".to_owned(), 5), ("a".to_owned(), -5)].into_iter().collect(),
                PriorityQueue::new(),
            ];
        }
    }
    {
        use bimap::{BiBTreeMap, BiHashMap};
        rows! { trials, "bimap":
            bi_hash_map_string_u32: [BiHashMap<String, u32>] eq => [
                [("a".to_owned(), 1), ("b".to_owned(), 2)].into_iter().collect(),
                BiHashMap::new(),
            ];
            bi_btree_map_u8_char: [BiBTreeMap<u8, char>] eq => [
                [(1, 'a'), (2, 'é')].into_iter().collect(),
            ];
        }
    }
    {
        use multimap::MultiMap;
        rows! { trials, "multimap":
            multi_map_string_f64: [MultiMap<String, f64>] eq => [
                [("a".to_owned(), 0.5), ("a".to_owned(), 1.5)].into_iter().collect(),
                MultiMap::new(),
            ];
        }
    }
    {
        use hashlink::{LinkedHashMap, LinkedHashSet};
        rows! { trials, "hashlink":
            linked_hash_map_string_f64: [LinkedHashMap<String, f64>] eq => [
                [("b".to_owned(), 0.5), ("a".to_owned(), 1.5)].into_iter().collect(),
                LinkedHashMap::new(),
            ];
            linked_hash_set_u64: [LinkedHashSet<u64>] eq => [[2, 1].into_iter().collect()];
        }
    }
    {
        use linked_hash_map::LinkedHashMap;
        rows! { trials, "linked-hash-map":
            linked_hash_map_string_f64: [LinkedHashMap<String, f64>] eq => [
                [("b".to_owned(), 0.5), ("a".to_owned(), 1.5)].into_iter().collect(),
                LinkedHashMap::new(),
            ];
        }
    }
    {
        use litemap::LiteMap;
        rows! { trials, "litemap":
            lite_map_u32_f64: [LiteMap<u32, f64>] eq => [
                [(2, 0.5), (1, 1.5)].into_iter().collect(),
                LiteMap::new(),
            ];
        }
    }
    {
        use vec_map::VecMap;
        rows! { trials, "vec_map":
            vec_map_f64: [VecMap<f64>] eq => [
                [(2, 0.5), (7, 1.5)].into_iter().collect(),
                VecMap::new(),
            ];
        }
    }
    {
        use im::{HashMap, HashSet, OrdMap, Vector};
        rows! { trials, "im":
            vector_f64: [Vector<f64>] eq => [(0..200).map(f64::from).collect(), Vector::new()];
            hash_map_string_f64: [HashMap<String, f64>] eq => [
                [("a".to_owned(), 0.5)].into_iter().collect(),
                HashMap::new(),
            ];
            hash_set_u32: [HashSet<u32>] eq => [(0_u32..20).collect()];
            ord_map_u32_vec: [OrdMap<u32, Vec<f64>>] eq => [
                [(7_u32, vec![0.5])].into_iter().collect(),
                OrdMap::new(),
            ];
        }
    }
    {
        use imbl::{HashMap, OrdSet, Vector};
        rows! { trials, "imbl":
            vector_f64: [Vector<f64>] eq => [(0..200).map(f64::from).collect(), Vector::new()];
            hash_map_string_f64: [HashMap<String, f64>] eq => [
                [("a".to_owned(), 0.5)].into_iter().collect(),
                HashMap::new(),
            ];
            ord_set_u32: [OrdSet<u32>] eq => [(0_u32..20).collect()];
        }
    }
    {
        use rpds::{HashTrieMap, Vector};
        rows! { trials, "rpds":
            vector_f64: [Vector<f64>] eq => [(0..200).map(f64::from).collect(), Vector::new()];
            hash_trie_map_string_f64: [HashTrieMap<String, f64>] eq => [
                [("a".to_owned(), 0.5)].into_iter().collect(),
                HashTrieMap::new(),
            ];
        }
    }
    {
        use either::Either;
        rows! { trials, "either":
            either_i32_string: [Either<i32, String>] eq => [
                Either::Left(-7),
                Either::Right("text".to_owned()),
            ];
        }
    }
    {
        use parking_lot::{Mutex, RwLock};
        rows! { trials, "parking_lot":
            mutex_vec_f64: [Mutex<Vec<f64>>] by(|mutex: &Mutex<Vec<f64>>| mutex.lock().clone()) => [
                Mutex::new(vec![0.5]),
                Mutex::new(Vec::new()),
            ];
            rw_lock_string: [RwLock<String>] by(|lock: &RwLock<String>| lock.read().clone()) => [
                RwLock::new("text".to_owned()),
            ];
        }
    }
    trials
}
