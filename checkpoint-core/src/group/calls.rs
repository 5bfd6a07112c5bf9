//! The calls that the members of a group make together. Each message names its call.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Group;
use crate::error::Error;
use crate::store::Process;

/// The longest error that a message takes along, in bytes.
const LONGEST_WHY: usize = 4096;

/// A group, with the number and the name of the present call.
#[derive(Debug)]
pub(super) struct Calls<G: Group> {
    group: G,
    /// The number of calls that all members have made together.
    number: u64,
    name: String,
    /// The number of messages in the present call.
    messages: u32,
    /// True after an error of the group itself: it is of no use any more.
    is_broken: bool,
    /// True if a panic of this member ends the group.
    pub(super) aborts: bool,
    /// The process that came: one that is forked from it is no member.
    process: Process,
}

impl<G: Group> Drop for Calls<G> {
    fn drop(&mut self) {
        if std::thread::panicking() && self.aborts && self.process.is_current() {
            self.group.abort();
        }
    }
}

/// A message of a member to all.
#[derive(Debug, Serialize, Deserialize)]
struct Message<B> {
    number: u64,
    call: String,
    message: u32,
    body: Body<B>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Body<B> {
    Ok(B),
    Failed { why: String, may_pass: bool },
}

/// The part of a message by which calls are told apart.
#[derive(Debug, PartialEq, Deserialize)]
struct Head {
    number: u64,
    call: String,
    message: u32,
}

impl Head {
    /// The call, for messages.
    fn describe(&self) -> String {
        format!("`{}` (its call {})", self.call, self.number)
    }
}

impl<G: Group> Calls<G> {
    pub(super) fn new(group: G) -> Calls<G> {
        let process = Process::current();
        Calls { group, number: 0, name: String::new(), messages: 0, is_broken: false, aborts: true, process }
    }

    pub(super) fn rank(&self) -> usize {
        self.group.rank()
    }

    pub(super) fn size(&self) -> usize {
        self.group.size()
    }

    /// True for the member that keeps the table.
    pub(super) fn is_first(&self) -> bool {
        self.group.rank() == 0
    }

    pub(super) fn group(&self) -> &G {
        &self.group
    }

    /// Begins a call that all members make. Calls with other arguments have other names.
    pub(super) fn begin(&mut self, name: impl Into<String>) {
        self.number += 1;
        self.name = name.into();
        self.messages = 0;
    }

    /// Gives the outcome of this member to all, and returns those of all, by rank.
    ///
    /// # Errors
    /// The error of this member; [`Error::Member`], if only others failed;
    /// [`Error::CallsDiffer`] and [`Error::GroupLost`].
    pub(super) fn gather<B: Serialize + DeserializeOwned>(
        &mut self,
        mine: Result<B, Error>,
    ) -> Result<Vec<B>, Error> {
        let (body, error) = match mine {
            Ok(body) => (Body::Ok(body), None),
            Err(error) => {
                let (why, may_pass) = (cut(error.to_string()), error.may_pass());
                (Body::Failed { why, may_pass }, Some(error))
            }
        };
        let all = self.exchange(body);
        // The own error says more than its echo.
        match (all, error) {
            (Err(lost @ Error::CallsDiffer { .. }), _) => Err(lost),
            (_, Some(error)) => Err(error),
            (Err(lost), None) => Err(lost),
            (Ok(all), None) => all
                .into_iter()
                .enumerate()
                .map(|(rank, body)| match body {
                    Body::Ok(body) => Ok(body),
                    Body::Failed { why, may_pass } => Err(Error::Member { rank, why, may_pass }),
                })
                .collect(),
        }
    }

    /// Like [`gather`](Calls::gather), for a value that stays here, and a word about it.
    pub(super) fn gather_about<V, B: Serialize + DeserializeOwned>(
        &mut self,
        mine: Result<V, Error>,
        word: impl FnOnce(&V) -> B,
    ) -> Result<(V, Vec<B>), Error> {
        let (value, word) = match mine {
            Ok(value) => {
                let word = word(&value);
                (Some(value), Ok(word))
            }
            Err(error) => (None, Err(error)),
        };
        let all = self.gather(word)?;
        value.map(|value| (value, all)).ok_or_else(|| self.lost("it was interrupted"))
    }

    /// True after an error of the group itself: the outcome of the call is unknown.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// The error of a group that broke.
    pub(super) fn lost(&self, why: &str) -> Error {
        Error::GroupLost { call: self.name.clone(), source: std::io::Error::other(why.to_owned()) }
    }

    fn exchange<B: Serialize + DeserializeOwned>(&mut self, body: Body<B>) -> Result<Vec<Body<B>>, Error> {
        let lost = |source| Error::GroupLost { call: self.name.clone(), source };
        if self.is_broken {
            return Err(lost(std::io::Error::other("an earlier call has failed for good")));
        }
        self.messages += 1;
        let message = Message { number: self.number, call: self.name.clone(), message: self.messages, body };
        // The bodies have nothing that JSON lacks.
        let bytes = serde_json::to_vec(&message).map_err(|error| lost(error.into()))?;
        let outcome = self.group.all_gather(&bytes).map_err(lost).and_then(|given| self.read(&given));
        self.is_broken = outcome.is_err();
        outcome
    }

    /// Reads the messages of all members, which must belong to the same call.
    fn read<B: DeserializeOwned>(&self, given: &[Vec<u8>]) -> Result<Vec<Body<B>>, Error> {
        let lost = |why: String| Error::GroupLost {
            call: self.name.clone(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, why),
        };
        if given.len() != self.size() {
            return Err(lost(format!("{} members of {} gave a message", given.len(), self.size())));
        }
        let unreadable = |rank: usize, error| {
            lost(format!("the message of rank {rank} cannot be read, is it the same program? {error}"))
        };
        let heads: Vec<Head> = given
            .iter()
            .enumerate()
            .map(|(rank, bytes)| serde_json::from_slice(bytes).map_err(|error| unreadable(rank, error)))
            .collect::<Result<_, _>>()?;
        // All members find the same two, and say the same.
        if let Some(other_rank) = heads.iter().position(|head| *head != heads[0]) {
            let (call, other_call) = (heads[0].describe(), heads[other_rank].describe());
            return Err(Error::CallsDiffer { rank: 0, call, other_rank, other_call });
        }
        given
            .iter()
            .enumerate()
            .map(|(rank, bytes)| {
                let message: Message<B> =
                    serde_json::from_slice(bytes).map_err(|error| unreadable(rank, error))?;
                Ok(message.body)
            })
            .collect()
    }
}

/// The beginning of a text that is too long for a message.
fn cut(mut why: String) -> String {
    if why.len() > LONGEST_WHY {
        let end = (0..=LONGEST_WHY).rfind(|end| why.is_char_boundary(*end));
        why.truncate(end.unwrap_or(0));
        why.push('…');
    }
    why
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::group::Threads;

    /// Runs the work of each of two members in a thread of its own.
    fn both<R: Send>(work: impl Fn(&mut Calls<Threads>) -> R + Sync) -> [R; 2] {
        let work = &work;
        std::thread::scope(|scope| {
            let threads = Threads::new(2).into_iter().map(|member| {
                scope.spawn(move || {
                    let mut calls = Calls::new(member);
                    calls.begin("open");
                    work(&mut calls)
                })
            });
            let threads: Vec<_> = threads.collect();
            let [one, two] = threads.try_into().unwrap();
            [one.join().unwrap(), two.join().unwrap()]
        })
    }

    #[test]
    fn members_with_different_calls_are_named_on_all() {
        let errors = both(|calls| {
            calls.begin(if calls.is_first() { "save" } else { "finish" });
            let error = calls.gather(Ok(())).unwrap_err();
            let later = calls.gather(Ok(())).unwrap_err();
            assert!(matches!(later, Error::GroupLost { .. }), "{later}");
            error.to_string()
        });
        assert_eq!(errors[0], errors[1]);
        assert!(errors[0].contains("`save`") && errors[0].contains("`finish`"), "{}", errors[0]);
    }

    #[test]
    fn a_skipped_call_is_found_by_its_number() {
        let errors = both(|calls| {
            if calls.is_first() {
                calls.begin("save");
            }
            calls.begin("save");
            calls.gather(Ok(())).unwrap_err().to_string()
        });
        assert!(errors[0].contains("its call 3") && errors[0].contains("its call 2"), "{}", errors[0]);
    }

    #[test]
    fn an_error_of_one_is_an_error_of_all() {
        let full = || Error::writing("write", "x".as_ref(), std::io::ErrorKind::StorageFull.into());
        let errors = both(|calls| {
            let mine = if calls.is_first() { Ok(()) } else { Err(full()) };
            let error = calls.gather(mine).unwrap_err();
            // The group goes on.
            assert_eq!(calls.gather(Ok(7)).unwrap(), [7, 7]);
            error
        });
        let [other, own] = errors;
        assert!(matches!(own, Error::NoSpace { .. }), "{own}");
        assert!(other.to_string().contains("rank 1") && other.to_string().contains("no space"), "{other}");
        assert!(other.may_pass());
    }

    #[test]
    fn a_long_error_is_cut_between_letters() {
        let text = cut("ä".repeat(LONGEST_WHY));
        assert!(text.len() <= LONGEST_WHY + 4 && text.ends_with("ä…"), "{}", text.len());
    }
}
