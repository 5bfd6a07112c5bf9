//! Writes an answer to the user: as text, in colour only on a terminal, or as JSON.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use crate::failure::Failure;

/// The answer of a command.
pub(crate) trait Answer: Serialize {
    /// Writes it for people. Colours may always be written: they are removed where they do not
    /// belong.
    fn write(&self, text: &mut dyn Write) -> io::Result<()>;
}

/// The verdict that the exit code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The answer is good.
    Well,
    /// The answer is negative.
    NotSo,
    /// The answer is unknown, because something cannot be read.
    OutOfReach,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> ExitCode {
        match verdict {
            Verdict::Well => ExitCode::SUCCESS,
            Verdict::NotSo => ExitCode::from(1),
            Verdict::OutOfReach => ExitCode::from(4),
        }
    }
}

const FAILED: u8 = 3;

/// The destination of answers.
pub(crate) struct Output {
    json: bool,
    stream: AutoStream<io::Stdout>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Output {
        Output { json, stream: anstream::stdout() }
    }

    /// Writes an answer. Each of several answers is one line of JSON.
    pub(crate) fn answer(&mut self, answer: &impl Answer) -> Result<(), Failure> {
        if self.json {
            // As a whole: of an answer that JSON cannot hold, nothing is written.
            let mut line = serde_json::to_vec(answer)?;
            line.push(b'\n');
            self.stream.write_all(&line)?;
        } else {
            answer.write(&mut self.stream)?;
        }
        self.stream.flush()?;
        Ok(())
    }

    /// Refuses to begin work whose answer will name these paths, if the answer cannot hold them.
    pub(crate) fn can_name<'p>(&self, paths: impl IntoIterator<Item = &'p Path>) -> Result<(), Failure> {
        // Messages name the working directory too, from which a relative path is.
        let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let is_unnamed = |path: &&Path| self.json && whole(path).to_str().is_none();
        match paths.into_iter().find(is_unnamed) {
            Some(path) => Err(Failure::NotUnicode(path.to_owned())),
            None => Ok(()),
        }
    }

    /// True if the user will see colours.
    pub(crate) fn has_colours(&self) -> bool {
        !self.json && self.stream.current_choice() != ColorChoice::Never
    }

    /// Writes bytes that are neither text for people nor JSON.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(bytes)?;
        self.stream.flush()?;
        Ok(())
    }

    /// Reports a failure.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        let kind = match failure {
            Failure::Output(error) => Some(error.kind()),
            Failure::Json(error) => error.io_error_kind(),
            _ => None,
        };
        if kind == Some(io::ErrorKind::BrokenPipe) {
            // The reader has seen enough, as in `ckpt show … | head`.
            return ExitCode::SUCCESS;
        }
        let lines: Vec<String> = failure.to_string().lines().map(crate::text::plain).collect();
        // If this fails, the exit code still reports the failure.
        let _ = writeln!(anstream::stderr(), "ckpt: {}", lines.join("\n"));
        ExitCode::from(FAILED)
    }
}
