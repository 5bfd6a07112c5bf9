//! Errors: each says what happened, where, and what to do about it.

mod output;
mod sorting;
mod stopped;
mod words;

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::base::text::{listed, plain};
use crate::container::ConfigDifference;
use crate::evolution::Difference;
pub use output::OutputFault;
pub(crate) use sorting::{once_more, once_more_if};
use words::config_list;
use words::{
    Available, Differences, List, numbers, other_places, remake_help, version_help, way_out_of, way_past,
};

/// Writes a message, and makes text from other programs in it harmless. Each message goes through
/// this.
macro_rules! shown {
    ($($message:tt)*) => {
        crate::base::text::shown(format_args!($($message)*))
    };
}

/// The reason that a save, a load, or the opening of a directory failed.
///
/// An `Err` from a save means that its outcome is unknown: the new generation may exist after all,
/// and is then complete. All acknowledged checkpoints are untouched, and the program may continue
/// and save again.
///
/// Its `Debug` is its message, with the causes that the message does not name, so that a `main`
/// that returns it prints readable text.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name to create exists already. It is left alone.
    #[error(
        "{}",
        shown!("could not {operation} {}: it exists already; {}", path.display(), way_past(operation))
    )]
    #[non_exhaustive]
    NameTaken {
        /// The operation.
        operation: &'static str,
        /// The path that exists.
        path: PathBuf,
    },

    /// The operating system refused an operation.
    #[error("{}", shown!("could not {operation} {}: {source}", path.display()))]
    #[non_exhaustive]
    Io {
        /// The operation.
        operation: &'static str,
        /// The file or directory of the operation.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },

    /// The disk, or the user's quota on it, is full. Earlier checkpoints are untouched; the program
    /// may continue and save again once there is space.
    #[error(
        "{}",
        shown!(
            "no space left to {operation} {}: {source}; earlier checkpoints are untouched: free some space, or keep fewer \
            generations, and try again",
            path.display()
        )
    )]
    #[non_exhaustive]
    NoSpace {
        /// The operation.
        operation: &'static str,
        /// The file or directory of the operation.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },

    /// The program may read the directory, but not write to it.
    #[error(
        "{}",
        shown!(
            "could not {operation} {}: {source}; to load checkpoints without writing any, use `CheckpointReader`",
            path.display()
        )
    )]
    #[non_exhaustive]
    NotWritable {
        /// The operation.
        operation: &'static str,
        /// The file or directory of the operation.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },

    /// The path of the checkpoint directory leads to something that is no directory.
    #[error(
        "{}",
        shown!(
            "{} is not a directory: a checkpoint directory holds one file for each generation; choose another path", path.display()
        )
    )]
    #[non_exhaustive]
    NotADirectory {
        /// That path.
        path: PathBuf,
    },

    /// Another checkpointer has the directory open, in this process or in another.
    #[error(
        "{}",
        shown!(
            "{} is in use by {}: one program at a time saves into a directory; wait for it to end, choose another \
            directory, or use `CheckpointReader` to only load",
            path.display(),
            if holder.is_empty() { "another checkpointer".to_owned() } else { plain(holder).into_owned() }
        )
    )]
    #[non_exhaustive]
    InUse {
        /// The checkpoint directory.
        path: PathBuf,
        /// The holder, as it describes itself; empty if it did not.
        holder: String,
    },

    /// The program was told to stop while it [waited](crate::Builder::wait_for) for another one. It
    /// has changed nothing.
    #[error(
        "{}",
        shown!(
            "the program was told to stop while it waited for {}, which has {} open: {reason}; start it again to wait \
            again",
            if holder.is_empty() { "another checkpointer".to_owned() } else { plain(holder).into_owned() },
            path.display()
        )
    )]
    #[non_exhaustive]
    StoppedWaiting {
        /// The directory.
        path: PathBuf,
        /// The holder, as it describes itself; empty if it did not.
        holder: String,
        /// The reason, in words.
        reason: String,
        /// The exit code for such a stop: that of a [`Finished`](crate::Finished) run.
        exit_code: u8,
    },

    /// A file that grows with the run cannot be gone on with. It is as it was.
    #[error("{}", shown!("{} {}", path.display(), output::Shown(*fault, *counted)))]
    #[non_exhaustive]
    Output {
        /// The file.
        path: PathBuf,
        /// The length that the state counts, in bytes.
        counted: u64,
        /// The fault.
        fault: OutputFault,
    },

    /// The program has another configuration than the checkpoint, and does not allow that; see
    /// [`ConfigChanges`](crate::ConfigChanges). Nothing was changed.
    #[error(
        "{}",
        shown!(
            "{} was saved with another configuration: {}; start the program with that one, allow the change with \
            `ConfigChanges::allow`, or save to another directory",
            path.display(),
            config_list(differences)
        )
    )]
    #[non_exhaustive]
    ConfigChanged {
        /// The checkpoint directory.
        path: PathBuf,
        /// The differences that are not allowed, sorted by path.
        differences: Vec<ConfigDifference>,
    },

    /// A run that was started later has the place in an object store now. The states that this run
    /// saved before are untouched; the one that it was saving does not count.
    #[error(
        "{}",
        shown!(
            "{} was taken over by {}: whoever opens a place in an object store last has it; end this program or, if it is \
             the one to go on, start it again",
            path.display(),
            plain(by)
        )
    )]
    #[non_exhaustive]
    TakenOver {
        /// The place of the checkpoints.
        path: PathBuf,
        /// The run that has it now, as it describes itself.
        by: String,
    },

    /// The file system of a directory has no locks, so a second program could save there at the
    /// same time.
    #[error(
        "{}",
        shown!(
            "could not lock {}: {source}; its file system has no locks (`flock`): mount it with them (Lustre: `-o flock`), choose \
             a directory elsewhere or, if no other program ever saves there, call \
            `require_lock(false)`",
            path.display()
        )
    )]
    #[non_exhaustive]
    NoLocks {
        /// The checkpoint directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },

    /// A forked process tried to save to a directory that its parent has open. Nothing was written.
    #[error(
        "{}",
        shown!(
            "{} was opened by process {process}, and this is process {}, which was forked from it: only that one saves there; \
             open the directory after the fork, or another one",
            path.display(),
            std::process::id()
        )
    )]
    #[non_exhaustive]
    OtherProcess {
        /// The checkpoint directory.
        path: PathBuf,
        /// The number of the process that opened it.
        process: u32,
    },

    /// The path of a directory is a symbolic link that leads to nothing.
    #[error(
        "{}",
        shown!(
            "{} is a symbolic link to {}, which is not there: mount or create that directory, or remove the link",
            path.display(),
            target.display()
        )
    )]
    #[non_exhaustive]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// The target of the link.
        target: PathBuf,
    },

    /// A file would be longer than this process, or the file system, allows. Earlier checkpoints
    /// are untouched.
    #[error(
        "{}",
        shown!(
            "could not {operation} {}: it would be longer than {}; earlier checkpoints are untouched",
            path.display(),
            match limit {
                Some(limit) => format!("{limit} bytes, which is the limit of this process: raise it (`ulimit -f`), or save less"),
                None => "the file system allows: choose a directory on another one, or save less".to_owned(),
            }
        )
    )]
    #[non_exhaustive]
    FileTooLong {
        /// The operation.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The longest file that this process may write, in bytes, if there is a limit
        /// (`RLIMIT_FSIZE`).
        limit: Option<u64>,
    },

    /// The directory was moved, removed or replaced while it was in use.
    #[error(
        "{}",
        shown!(
            "{} is no longer the directory that was opened: it was moved, removed or replaced, and another program could be \
             writing there; open it again",
            path.display()
        )
    )]
    #[non_exhaustive]
    DirectoryReplaced {
        /// The checkpoint directory.
        path: PathBuf,
    },

    /// A generation has the greatest number that is possible.
    #[error(
        "{}",
        shown!(
            "{} holds a generation of the greatest possible number, so there is none left for the next; move that file \
            away, or save into another directory",
            path.display()
        )
    )]
    #[non_exhaustive]
    NoMoreGenerations {
        /// The checkpoint directory.
        path: PathBuf,
    },

    /// The generation does not exist.
    #[error("{}", shown!("there is no generation {generation} in {}: {}", path.display(), Available(available)))]
    #[non_exhaustive]
    NoSuchGeneration {
        /// The checkpoint directory.
        path: PathBuf,
        /// The requested generation.
        generation: u64,
        /// The existing generations, oldest first.
        available: Vec<u64>,
    },

    /// The directory to branch from has no generations.
    #[error(
        "{}",
        shown!(
            "there is no generation in {} to branch from: check the path, or leave out `branch_from` to start afresh",
            path.display()
        )
    )]
    #[non_exhaustive]
    NothingToBranchFrom {
        /// The directory that was given to `branch_from`.
        path: PathBuf,
    },

    /// A thread of the program panicked while it held the lock of the state, which may be half
    /// changed. It is not saved, and the last save stands.
    #[error(
        "{}",
        shown!(
            "a thread panicked while it held the lock of the state, so it may be half changed and is not saved: the last \
             save in {} stands; start the program again, or repair the state and call `clear_poison` on its lock",
            path.display()
        )
    )]
    #[non_exhaustive]
    Poisoned {
        /// The checkpoint directory.
        path: PathBuf,
    },

    /// All generations were set aside by rewinds, and the one that was to stay is gone.
    #[error(
        "{}",
        shown!(
            "{} has no generation, and {} that rewinds set aside: bring one back, such as by `ckpt rewind {} {newest}`, or \
             move the directory away to start afresh",
            path.display(),
            rewound.len(),
            path.display()
        )
    )]
    #[non_exhaustive]
    OnlyRewound {
        /// The checkpoint directory.
        path: PathBuf,
        /// The newest of the generations that are aside.
        newest: u64,
        /// All of them, lowest first.
        rewound: Vec<u64>,
    },

    /// There are generations, but none of them can be used. Nothing was removed.
    #[error(
        "{}",
        shown!(
            "none of the generations in {} can be used:{}\nnothing was removed: restore a copy, or move the directory away to start afresh", path.display(), List(tried)
        )
    )]
    #[non_exhaustive]
    NoneUsable {
        /// The checkpoint directory.
        path: PathBuf,
        /// Each generation with its error, newest first.
        tried: Vec<Skipped>,
    },

    /// A step of a pipeline computed a state while one of its input files was changed: it is not
    /// known what the state was computed from. The step continues from an earlier one.
    #[error("{}", shown!("{} was saved after an input changed while the step ran: {inputs}", path.display()))]
    #[non_exhaustive]
    InputsChanged {
        /// The file of the generation.
        path: PathBuf,
        /// The names of the input files.
        inputs: String,
    },

    /// A file is damaged: it is not as it was written.
    #[error("{}", shown!("{} is damaged ({part}): {why}", path.display()))]
    #[non_exhaustive]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The part of it in which the damage was found.
        part: String,
        /// The damage.
        why: String,
    },

    /// A file has the name of a generation, and is not a checkpoint.
    #[error("{}", shown!("{} is not a checkpoint: it was not written by this library", path.display()))]
    #[non_exhaustive]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
    },

    /// A later version of this library wrote the checkpoint, in a format that this one does not
    /// know.
    #[error(
        "{}",
        shown!(
            "{} has format version {found}, this library reads up to {supported}: update `checkpointed`", path.display()
        )
    )]
    #[non_exhaustive]
    FormatTooNew {
        /// The file.
        path: PathBuf,
        /// The format version of the file.
        found: u32,
        /// The highest format version that this library reads.
        supported: u32,
    },

    /// A checkpoint has a codec that this library does not know.
    #[error(
        "{}",
        shown!(
            "{} was encoded with {found:?}, which this library does not know: update `checkpointed`", path.display()
        )
    )]
    #[non_exhaustive]
    CodecUnknown {
        /// The file.
        path: PathBuf,
        /// The codec that the manifest names.
        found: String,
    },

    /// A checkpoint holds the state of another program, or of another type.
    #[error(
        "{}",
        shown!(
            "{} holds a `{found}`, this program expects a `{expected}`: it is the checkpoint of another program, or the type \
            was renamed; in the latter case write `#[checkpointed(name = \"{found}\")]` on it",
            path.display()
        )
    )]
    #[non_exhaustive]
    OtherState {
        /// The file.
        path: PathBuf,
        /// The name in the manifest.
        found: String,
        /// The name of the program's type.
        expected: String,
    },

    /// A checkpoint holds another version of the state, and the program has no migration from it.
    #[error(
        "{}",
        shown!(
            "{} holds version {found} of `{name}`, this program has version {expected}: {}",
            path.display(),
            version_help(*found, *expected)
        )
    )]
    #[non_exhaustive]
    VersionUnknown {
        /// The file.
        path: PathBuf,
        /// The name of the state.
        name: String,
        /// The version in the manifest.
        found: u32,
        /// The version of the program's type.
        expected: u32,
    },

    /// The saved state has another schema, and could not be matched by its names.
    #[error(
        "{}",
        shown!(
            "{} was saved from a different `{name}`, which cannot be loaded as this one: {why}\nthey differ in:{}\nload it \
            with the program that wrote it, or {}",
            path.display(),
            Differences { listed: differences, has_more: *has_more },
            way_out_of(why)
        )
    )]
    #[non_exhaustive]
    SchemaMismatch {
        /// The file.
        path: PathBuf,
        /// The name of the state.
        name: String,
        /// The differences, with their places.
        differences: Vec<Difference>,
        /// True if there are more differences than are listed. The rest was not compared.
        has_more: bool,
        /// The difference that prevents loading, with the path of the value.
        why: String,
    },

    /// The state has a field that could be saved but never loaded.
    #[error("{}", shown!("`{name}` cannot be checkpointed:{}", List(fields)))]
    #[non_exhaustive]
    Unsupported {
        /// The name of the state.
        name: String,
        /// Each such field, with the reason.
        fields: Vec<String>,
    },

    /// The state could not be encoded. Nothing was written.
    #[error("{}", shown!("`{name}` could not be encoded: {why}"))]
    #[non_exhaustive]
    Encode {
        /// The name of the state.
        name: String,
        /// The error of its `Serialize` implementation, or of the codec.
        why: String,
    },

    /// A new file could not be opened again. It was removed, and earlier checkpoints are untouched.
    #[error(
        "{}",
        shown!(
            "generation {generation} in {} could not be opened after it was written: {why}; it does not count and was removed, \
            earlier checkpoints are untouched: save again, and if that fails too, report it as a fault of `checkpointed`",
            path.display()
        )
    )]
    #[non_exhaustive]
    NotOpened {
        /// The checkpoint directory.
        path: PathBuf,
        /// The number that it would have had.
        generation: u64,
        /// The part that was refused, and the reason.
        why: String,
    },

    /// A state was not read back as it was saved: its `Serialize` and its `Deserialize` disagree,
    /// or a value has no form in a checkpoint. The new file was removed, and earlier checkpoints
    /// are untouched.
    #[error(
        "{}",
        shown!(
            "{} as generation {generation} of {}: it does not come back as it was saved: {why}\nit does not count and was \
             removed, earlier checkpoints are untouched: write #[serde(with = \"checkpointed::self_describing\")] on the \
             field, or on the field that holds it, or mend the serde code of its type; if nothing is wrong with the value, \
             `Builder::read_back` turns the comparison off",
            format_args!("`{name}` was not saved"),
            path.display()
        )
    )]
    #[non_exhaustive]
    NotReadBack {
        /// The checkpoint directory.
        path: PathBuf,
        /// The name of the state.
        name: String,
        /// The number that the checkpoint would have had.
        generation: u64,
        /// The difference, or the reason that it could not be loaded.
        why: String,
    },

    /// A group of another size saved the checkpoint, and nothing says what to do with some fields.
    #[error(
        "{}",
        shown!(
            "{} was saved by {from} processes, and this group has {to}; nothing says what becomes of {}: make each a \
             `Sharded` (a block of an array) or a `Shared` (the same on all processes), give the builder an `on_resize` \
             function, or run with {from} processes",
            path.display(),
            listed(&fields.iter().map(String::as_str).collect::<Vec<_>>())
        )
    )]
    #[non_exhaustive]
    Resized {
        /// The checkpoint directory.
        path: PathBuf,
        /// The number of processes that saved.
        from: usize,
        /// The number of processes that load.
        to: usize,
        /// The fields that are neither sharded nor shared.
        fields: Vec<String>,
    },

    /// The parts of the processes of a group do not make up one state.
    #[error("{}", shown!("the parts of {} do not fit together: {why}", path.display()))]
    #[non_exhaustive]
    Sharding {
        /// The checkpoint directory.
        path: PathBuf,
        /// The fields, the ranks, and what does not fit.
        why: String,
    },

    /// The bytes are as they were written, and the schema is the same, but the state could not be
    /// decoded from them.
    #[error("{}", shown!("{} could not be decoded as `{name}`: {why}", path.display()))]
    #[non_exhaustive]
    Decode {
        /// The file.
        path: PathBuf,
        /// The name of the state.
        name: String,
        /// The error of its `Deserialize` implementation, or of the codec.
        why: String,
    },

    /// A key, a recipient or an identity cannot be used.
    #[error("{}", shown!("{origin} gives no key: {why}"))]
    #[non_exhaustive]
    InvalidKey {
        /// The place in which it was looked for.
        origin: String,
        /// The reason.
        why: String,
    },

    /// A checkpoint has no tag of a key that the program knows, so an attacker may have written it.
    /// No older generation is loaded instead.
    #[error(
        "{}",
        shown!(
            "{} is not known to be authentic: {why}; if it is yours, give the key that it was saved with \
            (`Protection::accept`), or load it once without protection and save it again",
            path.display()
        )
    )]
    #[non_exhaustive]
    NotAuthentic {
        /// The file.
        path: PathBuf,
        /// The tag that it has, if any.
        why: String,
    },

    /// A checkpoint is encrypted, and the program cannot decrypt it. No older generation is loaded
    /// instead.
    #[error(
        "{}",
        shown!(
            "{} is encrypted, and cannot be read: {why}; give the identity that it was encrypted for \
            (`Protection::decrypt_with`, feature `encryption`)",
            path.display()
        )
    )]
    #[non_exhaustive]
    Encrypted {
        /// The file.
        path: PathBuf,
        /// The missing identity or feature.
        why: String,
    },

    /// A checkpoint is not encrypted, and the program demands encryption. No older generation is
    /// loaded instead.
    #[error(
        "{}",
        shown!(
            "{} is not encrypted, and the program accepts only encrypted checkpoints: if it is yours, \
            load it once without protection and save it again",
            path.display()
        )
    )]
    #[non_exhaustive]
    NotEncrypted {
        /// The file.
        path: PathBuf,
    },

    /// The newest checkpoint is older than the program allows.
    #[error(
        "{}",
        shown!(
            "the newest generation in {} is {}, the program expects {expected} or a later one: \
            newer ones were removed, or an older directory was restored",
            path.display(),
            found.map_or("missing".to_owned(), |found| found.to_string())
        )
    )]
    #[non_exhaustive]
    TooOld {
        /// The checkpoint directory.
        path: PathBuf,
        /// The newest generation, if there is one.
        found: Option<u64>,
        /// The number that was given to `Protection::at_least`.
        expected: u64,
    },

    /// A part of a checkpoint does not fit into memory.
    #[error(
        "{}",
        shown!(
            "{} needs {bytes} bytes of memory for {part}, and the system gives no more: free some memory, or raise the limit of this \
            process",
            path.display()
        )
    )]
    #[non_exhaustive]
    NoMemory {
        /// The file.
        path: PathBuf,
        /// The part.
        part: String,
        /// Its length in bytes.
        bytes: u64,
    },

    /// A checkpoint is compressed, and the program was built without the feature that unpacks it.
    #[error(
        "{}",
        shown!(
            "{} is compressed by {feature} ({part}), which this program was built without: turn on the feature `{feature}` of \
            `checkpointed`",
            path.display()
        )
    )]
    #[non_exhaustive]
    BuiltWithout {
        /// The file.
        path: PathBuf,
        /// The part.
        part: String,
        /// The feature to turn on.
        feature: &'static str,
    },

    /// A save panicked: the state did while it was encoded, or the thread that saves in the
    /// background. Earlier checkpoints are untouched, and the program may continue and save again.
    #[error(
        "{}",
        shown!(
            "the save of `{name}` panicked: {message}; earlier checkpoints are untouched, save again"
        )
    )]
    #[non_exhaustive]
    Panicked {
        /// The name of the state.
        name: String,
        /// The message of the panic.
        message: String,
    },

    /// The program entered a scope, or began work that is done once, before the scope around it
    /// kept variables that tell this call from the one before. A restart could not return to it.
    #[error(
        "{}",
        shown!(
            "`{entered}` was called from {}",
            match &**outer {
                "" => "outside of all scopes, and is not the first: make the calls in a scope without variables, each \
                       inside `once`; to begin again after an error, call `restore` before".to_owned(),
                outer => format!(
                    "scope `{outer}`, which has not kept its variables since its last call, or could not keep them, or \
                     kept the same: call `keep` before each such call, with variables that count the one before, or \
                     make each call inside `once`, as a scope without variables must"
                ),
            }
        )
    )]
    #[non_exhaustive]
    ScopeNotKept {
        /// The active scope; empty outside all scopes.
        outer: String,
        /// The scope that the program tried to enter, or the work.
        entered: String,
    },

    /// The program restarted, and did not return to the scope that was active when the checkpoint
    /// was saved.
    #[error(
        "{}",
        shown!(
            "the checkpoint was saved inside scope `{expected}`{}, and this program {}",
            if outer.is_empty() { String::new() } else { format!(" of scope `{outer}`") },
            match (&**entered, &**work) {
                ("", _) => "saves or finishes before it returned to it: a restart must not repeat the work before it; put \
                            that work into `once`, or keep the progress in the variables".to_owned(),
                (entered, "") => format!(
                    "entered `{entered}` there: a restart must not repeat the work before it; put that work into `once`, \
                     or keep the progress in the variables"
                ),
                (entered, work) => format!(
                    "entered `{entered}` of the work `{work}` there, whose result it did not remember: each `keep` forgets \
                     the results before it; do such work in a scope without variables around this one, or without a scope"
                ),
            }
        )
    )]
    #[non_exhaustive]
    OtherScope {
        /// The active scope; empty outside all scopes.
        outer: String,
        /// The scope that the program tried to enter; empty if it tried to save.
        entered: String,
        /// The work done once in which it tried to; empty outside of such work.
        work: String,
        /// The scope that the restart must return to.
        expected: String,
    },

    /// The program restarted, and on the way back to the scope that was active when the checkpoint
    /// was saved, a scope gave other variables than those that it had got.
    #[error(
        "{}",
        shown!(
            "the checkpoint was saved inside scope `{expected}` of scope `{scope}`, and on the way back there this \
            program gives other variables of `{scope}` than the restart gave it ({how}): come back to that call with the \
            same variables, and change them behind it"
        )
    )]
    #[non_exhaustive]
    OtherVariables {
        /// The active scope.
        scope: String,
        /// The scope that the restart must return to.
        expected: String,
        /// The differences.
        how: String,
    },

    /// The program restored scopes after it had entered one.
    #[error("{}", shown!("scope `{name}` is active: call `restore` before any scope is entered"))]
    #[non_exhaustive]
    ScopeActive {
        /// The active scope.
        name: String,
    },

    /// The program saved a scope after a scope that was told to stop was left, with its work done
    /// in part. These variables are not saved, and the next run does that work.
    #[error(
        "{}",
        shown!(
            "scope `{name}` was to be saved after a function that was told to stop had returned: what it returned may \
            be half done, so these variables are not saved, and the next run does that work; use `save_if_due` \
            instead, which knows this, and call `finish`"
        )
    )]
    #[non_exhaustive]
    ScopeStopped {
        /// The scope to save.
        name: String,
        /// The exit code for such a stop: that of a [`Finished`](crate::Finished) run.
        exit_code: u8,
    },

    /// A step of a pipeline failed. The outputs of the steps before it are saved.
    #[error(
        "{}",
        shown!(
            "step `{step}` failed: {source}; the steps before it are saved: fix the cause, and \
            start the program again to continue from here"
        )
    )]
    #[non_exhaustive]
    StepFailed {
        /// The name of the step.
        step: String,
        /// The error of its function.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A step of a pipeline is not done: it was told to stop, so its output would be that of a part
    /// of its work. Its own checkpoints are kept, and the next run continues from there. Or the
    /// pipeline was told to stop before the step began.
    #[error(
        "{}",
        shown!(
            "step `{step}` {}: {reason}; {}: start the program again to continue from here",
            if *begun { "was stopped" } else { "was not begun" },
            if *begun {
                "the steps before it and the progress that it saved are kept"
            } else {
                "the steps before it are kept"
            }
        )
    )]
    #[non_exhaustive]
    StepStopped {
        /// The name of the step.
        step: String,
        /// True if its function was called.
        begun: bool,
        /// The reason, in words.
        reason: String,
        /// The exit code for such a stop: that of a [`Finished`](crate::Finished) run.
        exit_code: u8,
    },

    /// The program was told to stop, and saved no scope since: the last save lacks its latest work.
    #[error(
        "{}",
        shown!(
            "the program of {} was told to stop and has not saved since, so the work after the last save is lost: \
            call `save_if_due` in the loop that asks `should_stop`, or `save` after it",
            path.display()
        )
    )]
    #[non_exhaustive]
    StoppedUnsaved {
        /// The checkpoint directory.
        path: PathBuf,
    },

    /// A step of a pipeline was skipped, because a user commanded that, and it has no earlier
    /// output.
    #[error("{}", shown!("step `{step}` was not run: {why}"))]
    #[non_exhaustive]
    StepNotRun {
        /// The name of the step.
        step: String,
        /// The command.
        why: String,
    },

    /// The saved output of a step is missing or damaged, so the steps that take it cannot run.
    #[error(
        "{}",
        shown!(
            "the output of step `{step}` cannot be used: {source}; {}", remake_help(step, set_aside.as_deref(), source)
        )
    )]
    #[non_exhaustive]
    OutputUnusable {
        /// The name of the step.
        step: String,
        /// The path to which the damaged file was moved, if it was.
        set_aside: Option<PathBuf>,
        /// The error of reading the output.
        source: Box<Error>,
    },

    /// Two steps of a pipeline have the same name.
    #[error(
        "{}",
        shown!(
            "there are two steps named `{step}`: each needs a name of its own, under which its output is kept"
        )
    )]
    #[non_exhaustive]
    StepTwice {
        /// The name.
        step: String,
    },

    /// A step takes an output of another pipeline.
    #[error(
        "{}",
        shown!(
            "step `{step}` takes the output of step `{input}` of another pipeline: run that step in this one, or pass its output as a parameter"
        )
    )]
    #[non_exhaustive]
    ForeignInput {
        /// The step.
        step: String,
        /// The step with the output that it takes.
        input: String,
    },

    /// A command names a step that the pipeline does not have.
    #[error("{}", shown!("there is no step `{step}`: the steps are {}", known.join(", ")))]
    #[non_exhaustive]
    UnknownStep {
        /// The name.
        step: String,
        /// The steps of the pipeline.
        known: Vec<String>,
    },

    /// A type in a checkpoint has a form that the schema does not describe, so its values cannot be
    /// read without the program.
    #[error(
        "{}",
        shown!(
            "{} has a `{name}`, whose form is not in the file: only the program that wrote it can load it, \
            and everything behind it; the arrays can be read by their names",
            path.display()
        )
    )]
    #[non_exhaustive]
    FormUnknown {
        /// The file.
        path: PathBuf,
        /// The name of the type.
        name: String,
    },

    /// A path leads to nothing in a checkpoint.
    #[error(
        "{}",
        shown!(
            "there is no `{path}` in {}: {} has no `{step}`{}",
            file.display(),
            if within.is_empty() { "the state".to_owned() } else { format!("`{within}`") },
            if known.is_empty() { String::new() } else { format!(", but {}", known.join(", ")) }
        )
    )]
    #[non_exhaustive]
    NoSuchField {
        /// The checkpoint.
        file: PathBuf,
        /// The whole path.
        path: String,
        /// The component of it that leads nowhere.
        step: String,
        /// The path up to that component.
        within: String,
        /// Some of the components that exist there.
        known: Vec<String>,
    },

    /// A path leads to several entries of a map, whose keys are written alike.
    #[error(
        "{}",
        shown!(
            "`{path}` in {} does not say which entry is meant: several keys of {} are written `{step}`; load the whole \
             map, and look the key up there",
            file.display(),
            if within.is_empty() { "the state".to_owned() } else { format!("`{within}`") }
        )
    )]
    #[non_exhaustive]
    AmbiguousField {
        /// The checkpoint.
        file: PathBuf,
        /// The whole path.
        path: String,
        /// The component of it that stands for several keys.
        step: String,
        /// The path up to that component.
        within: String,
    },

    /// A value is too large, or nested too deep, for the requested form, or has no such form.
    #[error("{}", shown!("{} cannot be written as {form}: {why}", path.display()))]
    #[non_exhaustive]
    NotExportable {
        /// The checkpoint.
        path: PathBuf,
        /// The requested form.
        form: &'static str,
        /// The reason.
        why: String,
    },

    /// Another member of the group could not do its part, so the same call failed on all. Earlier
    /// checkpoints are untouched.
    #[error(
        "{}",
        shown!(
            "rank {rank} of the group failed, and so this call failed on all members: {why}"
        )
    )]
    #[non_exhaustive]
    Member {
        /// The member that failed.
        rank: usize,
        /// Its error.
        why: String,
        /// True if the same call may succeed later, without a change of the program.
        may_pass: bool,
    },

    /// The members of a group made different calls. The group is of no use from then on.
    #[error(
        "{}",
        shown!(
            "rank {rank} of the group called {call}, and rank {other_rank} called {other_call}: every member must make the \
            same calls in the same order; from here on this group can do nothing more"
        )
    )]
    #[non_exhaustive]
    CallsDiffer {
        /// The first member.
        rank: usize,
        /// Its call.
        call: String,
        /// The first member that made another call.
        other_rank: usize,
        /// The call of that member.
        other_call: String,
    },

    /// The members of a group cannot reach each other any more, because one of them has ended, or
    /// the connection is lost.
    #[error(
        "{}",
        shown!(
            "the group is lost at {call}: {source}; earlier checkpoints are untouched: start all members again to continue \
            from the newest"
        )
    )]
    #[non_exhaustive]
    GroupLost {
        /// The call.
        call: String,
        /// The error of the group.
        source: io::Error,
    },

    /// The directory of rank 0 has no checkpoint of the group, and other directories have some, or
    /// parts of checkpoints that the group accepted. To start afresh would remove these parts.
    #[error(
        "{}",
        shown!(
            "{} has no checkpoint of the group{}",
            path.display(),
            other_places(ranks, *generation, moved)
        )
    )]
    #[non_exhaustive]
    TablesLost {
        /// The checkpoint directory.
        path: PathBuf,
        /// The ranks that have such parts.
        ranks: Vec<usize>,
        /// The newest generation of them.
        generation: u64,
        /// The ranks whose directories have what another rank saved: the processes may have
        /// changed their machines.
        moved: Vec<usize>,
    },

    /// A checkpoint of one process was opened as that of a group, or the other way round.
    #[error(
        "{}",
        shown!(
            "{} is the checkpoint of {}: open it with {}, or choose another directory",
            path.display(),
            if *of_group { "a group of processes" } else { "a single program" },
            if *of_group { "`Builder::open_group`" } else { "`Checkpointer`" }
        )
    )]
    #[non_exhaustive]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// True for the checkpoint of a group.
        of_group: bool,
    },

    /// A generation that the program wanted to discard stays: it is pinned, or another program
    /// reads it.
    #[error(
        "{}",
        shown!(
            "generation {generation} cannot be discarded, {} stays: it is pinned, or another program reads it; unpin it, or \
            try again",
            path.display()
        )
    )]
    #[non_exhaustive]
    NotDiscarded {
        /// The file.
        path: PathBuf,
        /// The generation.
        generation: u64,
    },

    /// The checkpoints of a run were to be removed, and some are pinned. Nothing was removed.
    #[error(
        "{}",
        shown!(
            "the checkpoints of {} are not removed, because of pinned generations: {}; unpin them (`ckpt unpin`), or remove \
            all by `remove_with_pins`",
            path.display(),
            numbers(generations)
        )
    )]
    #[non_exhaustive]
    Pinned {
        /// The checkpoint directory.
        path: PathBuf,
        /// The pinned generations, oldest first.
        generations: Vec<u64>,
    },

    /// The directory has no checkpoints, or its newest is damaged, and its mirror, which may have
    /// it, cannot be asked. The program would start afresh, or from an older generation.
    #[error(
        "{}",
        shown!(
            "{} has no checkpoints, or its newest is damaged, and its mirror {} cannot be asked for it: {why}; start again \
            when it can be reached; to go on with what the directory has, leave the mirror out",
            path.display(),
            mirror.display()
        )
    )]
    #[non_exhaustive]
    MirrorUnreachable {
        /// The checkpoint directory.
        path: PathBuf,
        /// The mirror.
        mirror: PathBuf,
        /// The reason.
        why: String,
    },

    /// The directory and its mirror each have checkpoints that the other never had, as far as their
    /// files and the records of the directory tell: they are of two runs, two programs went on from
    /// one checkpoint, one of them is an older copy, or one lost some of its files. Neither is
    /// touched.
    #[error(
        "{}",
        shown!(
            "{} (up to generation {newest}) and its mirror {} (up to generation {newest_there}) each have checkpoints that \
            the other never had, and both are left as they are. Where they are of two runs, give the mirror another place. \
            Where two programs went on from one checkpoint, as a branch does, or one of the two went back, or is an older \
            copy, as a backup that was put back, move the one away that is not to be continued. Where one lost some of \
            its files, put them back, or move \
            that one away. A mirror that was moved away needs an empty directory in its place",
            path.display(),
            mirror.display()
        )
    )]
    #[non_exhaustive]
    MirrorApart {
        /// The checkpoint directory.
        path: PathBuf,
        /// The mirror.
        mirror: PathBuf,
        /// The newest generation of the directory.
        newest: u64,
        /// The newest generation of the mirror.
        newest_there: u64,
    },

    /// The mirror does not have the newest checkpoint yet, or any more, or cannot be asked. The
    /// directory has it.
    #[error(
        "{}",
        shown!(
            "the mirror {} is not known to have generation {generation}: {why}; the checkpoint itself is safe in its directory",
            mirror.display()
        )
    )]
    #[non_exhaustive]
    NotMirrored {
        /// The mirror.
        mirror: PathBuf,
        /// The generation.
        generation: u64,
        /// The reason.
        why: String,
    },

    /// A setting is invalid.
    #[error("{}", shown!("{setting}: {why}"))]
    #[non_exhaustive]
    InvalidSetting {
        /// The setting, as it was given.
        setting: String,
        /// The reason.
        why: &'static str,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.to_string();
        formatter.write_str(&last)?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let message = crate::base::text::shown(error).to_string();
            // Most messages end with their cause.
            if !last.contains(&message) {
                write!(formatter, "\ncaused by: {message}")?;
            }
            last = message;
            cause = error.source();
        }
        Ok(())
    }
}

/// A generation that a load could not use, with its error.
#[derive(Debug)]
#[non_exhaustive]
pub struct Skipped {
    /// Its number.
    pub generation: u64,
    /// Its error, with the path.
    pub error: Error,
}

impl fmt::Display for Skipped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_made_harmless() {
        let (variants, _) = include_str!("mod.rs").split_once("#[cfg(test)]").unwrap();
        for attribute in variants.split("#[error(").skip(1) {
            let begin: String = attribute.chars().take(30).filter(|letter| !letter.is_whitespace()).collect();
            assert!(
                begin.starts_with("\"{}\",shown!("),
                "write `#[error(\"{{}}\", shown!(…))]`: {attribute:.80}"
            );
        }
        let path = PathBuf::from("run\u{202e}tpkc.ckpt\u{1b}[31m");
        let found = "a\u{2067}b\u{7}".to_owned();
        let error = Error::OtherState { path, found, expected: "c".to_owned() };
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains(crate::base::text::is_command), "{text:?}");
            assert!(
                text.contains(r"run\u{202e}tpkc.ckpt\u{1b}[31m") && text.contains(r"a\u{2067}b\u{7}"),
                "{text}"
            );
        }
    }

    #[test]
    fn main_prints_the_message_with_its_causes() {
        let full = || Error::writing("write", "run.ckpt".as_ref(), io::ErrorKind::StorageFull.into());
        assert_eq!(format!("{:?}", full()), full().to_string());
        assert_eq!(format!("{:#?}", full()), full().to_string());

        #[derive(Debug)]
        struct Outer(Error);
        impl fmt::Display for Outer {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the fit did not converge")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let failed = Error::StepFailed { step: "fit".to_owned(), source: Box::new(Outer(full())) };
        assert_eq!(format!("{failed:?}"), format!("{failed}\ncaused by: {}", full()));
    }
}
