//! How an answer reaches whoever asked: as text, in colour only on a terminal, or as JSON.

use std::io::{self, Write};
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use crate::failure::Failure;

/// What a command found out.
pub(crate) trait Answer: Serialize {
    /// Writes it for a person. Colours may be written always: where they do not belong they are taken out.
    fn write(&self, text: &mut dyn Write) -> io::Result<()>;
}

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is well.
    Well,
    /// What was asked about is not so.
    NotSo,
    /// What was asked about may be so, and cannot be read.
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

/// Where answers go.
pub(crate) struct Output {
    json: bool,
    stream: AutoStream<io::Stdout>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Output {
        Output { json, stream: anstream::stdout() }
    }

    /// Writes an answer. Of several, each is one line of JSON.
    pub(crate) fn answer(&mut self, answer: &impl Answer) -> Result<(), Failure> {
        if self.json {
            serde_json::to_writer(&mut self.stream, answer)?;
            writeln!(self.stream)?;
        } else {
            answer.write(&mut self.stream)?;
        }
        self.stream.flush()?;
        Ok(())
    }

    /// Whether colours reach whoever reads.
    pub(crate) fn has_colours(&self) -> bool {
        !self.json && self.stream.current_choice() != ColorChoice::Never
    }

    /// Writes what is neither text for a person nor JSON.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(bytes)?;
        self.stream.flush()?;
        Ok(())
    }

    /// Says why there is no answer.
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
        // Where it cannot be written, the exit code says it.
        let _ = writeln!(anstream::stderr(), "ckpt: {}", lines.join("\n"));
        ExitCode::from(FAILED)
    }
}
