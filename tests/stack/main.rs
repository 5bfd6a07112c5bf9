//! Values that need more of the stack than the thread has: large ones, deep ones, and both.
//!
//! A stack overflow ends the process, so a failed test here ends all of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Debug;
use std::thread;

use checkpointed::{Checkpoint, Checkpointer, Plain, fixed};
use serde::{Deserialize, Serialize};

/// Saves a value and loads it, as a `U`, in a thread with a stack of this number of bytes. The
/// value is made and dropped outside of it, because the program's own code recurses there too.
fn comes_back_as<T, U>(stack: usize, value: T, expected: &U)
where
    T: Checkpoint + Send + Sync,
    U: Checkpoint + PartialEq + Debug + Send + Sync,
{
    let directory = tempfile::tempdir().unwrap();
    let in_thread = || {
        Checkpointer::<T>::open(directory.path()).unwrap().save(&value).unwrap();
        Box::new(Checkpointer::<U>::open(directory.path()).unwrap().load().unwrap().unwrap())
    };
    let loaded = thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(stack).spawn_scoped(scope, in_thread);
        thread.unwrap().join().unwrap()
    });
    with_a_large_stack(|| assert!(*loaded == *expected));
    with_a_large_stack(|| drop((loaded, value)));
}

fn comes_back<T: Checkpoint + PartialEq + Debug + Clone + Send + Sync>(stack: usize, value: &T) {
    comes_back_as(stack, with_a_large_stack(|| value.clone()), value);
}

fn with_a_large_stack<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(256 << 20).spawn_scoped(scope, work);
        thread.unwrap().join().unwrap()
    })
}

const STACKS: [usize; 3] = [256 << 10, 2 << 20, 8 << 20];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Large {
    #[serde(with = "fixed")]
    grid: [[f64; 256]; 256],
    count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Medium {
    #[serde(with = "fixed")]
    grid: [[f64; 128]; 128],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Node {
    values: [[u64; 32]; 4],
    next: Option<Box<Node>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Expression {
    Constant(f64),
    Negated(Box<Expression>),
    Sum { left: Box<Expression>, right: Box<Expression> },
}

/// A large value of the usual kind, with short arrays only: each element is a value of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wide {
    rows: [[[u64; 32]; 32]; 4],
}

fn list<N>(length: u64, node: impl Fn(u64, Option<Box<N>>) -> N) -> N {
    let last = node(0, None);
    (1..length).fold(last, |list, number| node(number, Some(Box::new(list))))
}

fn deep(depth: u32) -> Expression {
    (0..depth).fold(Expression::Constant(0.5), |inner, level| match level % 3 {
        0 => Expression::Negated(Box::new(inner)),
        1 => Expression::Sum { left: Box::new(inner), right: Box::new(Expression::Constant(1.0)) },
        _ => Expression::Sum { left: Box::new(Expression::Constant(2.0)), right: Box::new(inner) },
    })
}

#[test]
fn a_boxed_value_larger_than_the_stack_comes_back() {
    with_a_large_stack(|| {
        let value = Plain(Box::new(Large { grid: [[1.5; 256]; 256], count: 7 }));
        STACKS.into_iter().for_each(|stack| comes_back(stack, &value));
        let value = Plain(vec![Wide { rows: [[[3; 32]; 32]; 4] }; 3]);
        STACKS.into_iter().for_each(|stack| comes_back(stack, &value));
    });
}

#[test]
fn a_value_that_takes_a_tenth_of_the_stack_comes_back() {
    with_a_large_stack(|| {
        let value = Plain(Medium { grid: [[2.5; 128]; 128] });
        [2 << 20, 8 << 20].into_iter().for_each(|stack| comes_back(stack, &value));
    });
}

#[test]
fn a_list_of_large_nodes_comes_back() {
    with_a_large_stack(|| {
        let value = Plain(list(500, |number, next| Node { values: [[number; 32]; 4], next }));
        STACKS.into_iter().for_each(|stack| comes_back(stack, &value));
    });
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Heavy {
    data: [[f64; 32]; 32],
    child: Option<Box<Heavy>>,
}

#[test]
fn large_nodes_of_a_described_field_come_back() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Described(#[serde(with = "checkpointed::self_describing")] Box<Heavy>);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct InJson(#[serde(with = "checkpointed::json")] Box<Heavy>);
    with_a_large_stack(|| {
        let heavy = |length| Box::new(list(length, |_, child| Heavy { data: [[0.5; 32]; 32], child }));
        let (described, in_json) = (Plain(Described(heavy(80))), Plain(InJson(heavy(60))));
        for stack in STACKS {
            comes_back(stack, &described);
            comes_back(stack, &in_json);
        }
    });
}

/// Somewhere in the list, little of the stack is left, and still enough for the next of its nodes.
#[test]
fn deep_values_of_a_described_field_are_saved_on_any_stack() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Described {
        #[serde(with = "checkpointed::self_describing")]
        described: Expression,
        #[serde(with = "checkpointed::json")]
        in_json: Expression,
        next: Option<Box<Described>>,
    }
    let negated =
        |depth| (0..depth).fold(Expression::Constant(0.5), |inner, _| Expression::Negated(Box::new(inner)));
    with_a_large_stack(|| {
        let node = |_, next| Described { described: negated(250), in_json: negated(120), next };
        let value = Plain(list(200, node));
        (256..768).step_by(64).for_each(|stack| comes_back(stack << 10, &value));
    });
}

#[test]
fn a_value_as_deep_as_is_allowed_comes_back() {
    with_a_large_stack(|| {
        // Each struct variant is two values deep: itself and its field.
        let value = Plain(deep(2040));
        STACKS.into_iter().for_each(|stack| comes_back(stack, &value));
    });
}

#[test]
fn a_changed_type_is_read_on_any_stack() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Node")]
    struct Changed {
        next: Option<Box<Changed>>,
        values: [[u64; 32]; 4],
        #[serde(default)]
        added: u8,
    }
    with_a_large_stack(|| {
        let before = list(60, |number, next| Node { values: [[number; 32]; 4], next });
        let after = Plain(list(60, |number, next| Changed { values: [[number; 32]; 4], next, added: 0 }));
        for stack in STACKS {
            comes_back_as(stack, Plain(before.clone()), &after);
        }
    });
}
