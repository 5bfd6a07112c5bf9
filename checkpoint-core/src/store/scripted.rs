//! A directory in which a test has a part: it fails requests, and changes what is read and written.
//!
//! Each place of checkpoints that a test needs is a [`Script`]; the way through the seam stands
//! here once.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Claim, Claiming, Directory, Draft, Guard, Home, Published, RealDisk, Sealed};
use crate::container::Source;
use crate::error::Error;

/// A request to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    List,
    Has(u64),
    Open(u64),
    Pin,
    Claim,
    Begin,
    Publish,
    Remove,
}

/// The part of a test in what happens to a directory. By default, all goes through unchanged.
pub(crate) trait Script: Send + Sync + 'static {
    /// Returns an error to fail a request before it reaches the directory.
    fn ask(&self, _request: Request) -> io::Result<()> {
        Ok(())
    }

    /// Returns the file that is read in the place of an opened one.
    fn opened(&self, source: Box<dyn Source>) -> Box<dyn Source> {
        source
    }

    /// Changes bytes before they are written at this offset.
    fn write(&self, _offset: u64, _bytes: &mut [u8]) {}

    /// True if a draft cannot be read before it is published, as in a store.
    fn is_closed(&self) -> bool {
        false
    }
}

impl fmt::Debug for dyn Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Script")
    }
}

impl<F: Fn(Request) -> io::Result<()> + Send + Sync + 'static> Script for F {
    fn ask(&self, request: Request) -> io::Result<()> {
        self(request)
    }
}

/// A directory with a script. It is the script, too, for the test that has it.
pub(crate) struct Scripted<S> {
    directory: Arc<dyn Home>,
    script: Arc<S>,
}

impl<S: Script> Scripted<S> {
    pub(crate) fn new(path: &Path, script: S) -> Scripted<S> {
        let directory = Arc::new(Directory::new(path, Arc::new(RealDisk::default())));
        Scripted { directory, script: Arc::new(script) }
    }

    /// Waits until the threads of programs have left it.
    pub(crate) fn wait_until_left(&self) {
        while Arc::strong_count(&self.script) > 1 {
            std::thread::yield_now();
        }
    }

    fn asked(&self, request: Request) -> Result<(), Error> {
        asked(&*self.script, request, self.path())
    }
}

fn asked(script: &dyn Script, request: Request, path: &Path) -> Result<(), Error> {
    script.ask(request).map_err(|source| Error::writing("ask", path, source))
}

impl<S> Clone for Scripted<S> {
    fn clone(&self) -> Scripted<S> {
        Scripted { directory: Arc::clone(&self.directory), script: Arc::clone(&self.script) }
    }
}

impl<S> Deref for Scripted<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.script
    }
}

impl<S> fmt::Debug for Scripted<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Scripted").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl<S: Script> Home for Scripted<S> {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn location(&self, generation: u64) -> PathBuf {
        self.directory.location(generation)
    }

    fn check(&self) -> Result<(), Error> {
        self.directory.check()
    }

    fn generations(&self) -> Result<Vec<u64>, Error> {
        self.script.ask(Request::List).map_err(|source| Error::io("list", self.path(), source))?;
        self.directory.generations()
    }

    fn set_aside(&self) -> Result<Vec<u64>, Error> {
        self.directory.set_aside()
    }

    /// As in an object store, a listing that fails has nothing.
    fn has(&self, generation: u64) -> bool {
        self.script.ask(Request::Has(generation)).is_ok() && self.directory.has(generation)
    }

    fn open(&self, generation: u64) -> io::Result<Box<dyn Source>> {
        self.script.ask(Request::Open(generation))?;
        Ok(self.script.opened(self.directory.open(generation)?))
    }

    fn pin(&self, generation: u64) -> Result<(), Error> {
        self.asked(Request::Pin)?;
        self.directory.pin(generation)
    }

    fn unpin(&self, generation: u64) -> Result<(), Error> {
        self.directory.unpin(generation)
    }

    fn pinned(&self, generations: &[u64]) -> BTreeSet<u64> {
        self.directory.pinned(generations)
    }

    fn claim(&self, claiming: &Claiming) -> Result<Box<dyn Claim>, Error> {
        self.asked(Request::Claim)?;
        let claim = self.directory.claim(claiming)?;
        let script = Arc::clone(&self.script);
        let home = Scripted { directory: Arc::clone(claim.home()), script: Arc::clone(&script) };
        Ok(Box::new(ScriptedClaim { claim, home: Arc::new(home), script }))
    }
}

#[derive(Debug)]
struct ScriptedClaim {
    claim: Box<dyn Claim>,
    home: Arc<dyn Home>,
    script: Arc<dyn Script>,
}

impl Claim for ScriptedClaim {
    fn guard(&self) -> &Arc<Guard> {
        self.claim.guard()
    }

    fn home(&self) -> &Arc<dyn Home> {
        &self.home
    }

    fn begin(&mut self, generation: u64) -> Result<Box<dyn Draft>, Error> {
        asked(&*self.script, Request::Begin, self.home.path())?;
        let draft = self.claim.begin(generation)?;
        Ok(Box::new(ScriptedDraft { draft, script: Arc::clone(&self.script), written: 0 }))
    }

    fn keep_for_good(&self, generation: u64) -> Result<(), Error> {
        self.claim.keep_for_good(generation)
    }

    fn move_aside(&mut self, generation: u64) -> Result<(), Error> {
        self.claim.move_aside(generation)
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.claim.sync()
    }

    fn remove_at_once(&mut self, generation: u64) -> io::Result<bool> {
        self.claim.remove_at_once(generation)
    }

    fn remove(&mut self, generation: u64) -> io::Result<bool> {
        self.script.ask(Request::Remove)?;
        self.claim.remove(generation)
    }
}

#[derive(Debug)]
struct ScriptedDraft {
    draft: Box<dyn Draft>,
    script: Arc<dyn Script>,
    written: u64,
}

impl Write for ScriptedDraft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut bytes = bytes.to_vec();
        self.script.write(self.written, &mut bytes);
        let length = self.draft.write(&bytes)?;
        self.written += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.draft.flush()
    }
}

impl Draft for ScriptedDraft {
    fn path(&self) -> &Path {
        self.draft.path()
    }

    fn seal(self: Box<Self>) -> Result<Box<dyn Sealed>, Error> {
        Ok(Box::new(ScriptedSealed { sealed: self.draft.seal()?, script: self.script }))
    }
}

#[derive(Debug)]
struct ScriptedSealed {
    sealed: Box<dyn Sealed>,
    script: Arc<dyn Script>,
}

impl Sealed for ScriptedSealed {
    fn path(&self) -> &Path {
        self.sealed.path()
    }

    fn open(&self) -> io::Result<Option<Box<dyn Source>>> {
        if self.script.is_closed() { Ok(None) } else { self.sealed.open() }
    }

    fn publish(self: Box<Self>) -> Published {
        match asked(&*self.script, Request::Publish, self.sealed.path()) {
            Ok(()) => self.sealed.publish(),
            Err(error) => Published { is_there: false, outcome: Err(error) },
        }
    }
}
