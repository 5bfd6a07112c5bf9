//! `ckpt show`: shows the content of a checkpoint, as a tree of its fields.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use checkpointed_core::Protection;
use checkpointed_core::inspect::{
    self, Content, File, Found, GroupFile, Header, Limits, Node, Outline, OutlineArray,
};
use serde::Serialize;

use super::group::{GroupShown, whole};
use crate::failure::Failure;
use crate::generation::{described, values};
use crate::output::{Answer, Output, Verdict};
use crate::picture;
use crate::place::{self, InStore};
use crate::text::{self, BAD, BOLD, DIM};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A checkpoint, or a directory. A directory stands for its newest checkpoint that can be
    /// opened, or for generation 42 with @42. So does the URL of a place in an object store
    checkpoint: PathBuf,
    /// A field, such as model/layers/2/weights
    path: Option<String>,
    /// The number of elements of a sequence, an array or a map to show
    #[arg(long, value_name = "COUNT")]
    elements: Option<usize>,
    /// The part of this process, of a checkpoint that a group saved
    #[arg(long, value_name = "RANK")]
    rank: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    header: Header,
    path_in_state: String,
    state: Outline,
    /// True to draw with colours.
    #[serde(skip)]
    colours: bool,
}

impl Answer for Shown {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let parts = text::count(self.header.parts.len(), "part");
        write_header(output, &self.header, &parts)?;
        let label = if self.path_in_state.is_empty() { "state" } else { &self.path_in_state };
        tree(output, label, &self.state, 0, self.colours)
    }
}

/// Writes the header of a checkpoint. `parts` says in how many parts it is.
pub(crate) fn write_header(output: &mut dyn Write, header: &Header, parts: &str) -> io::Result<()> {
    let Header { manifest, bytes, .. } = header;
    let type_name = manifest.schema().to_string();
    let name = text::plain(if manifest.name().is_empty() { &type_name } else { manifest.name() });
    let (version, generation, process) = (manifest.version(), manifest.generation(), manifest.process());
    let (bytes, age) = (text::bytes(*bytes), text::age_of(manifest.created()));
    writeln!(output, "{BOLD}{name}{BOLD:#} version {version}, generation {generation}, {bytes} in {parts}")?;
    let (time, host, library) =
        (text::time(manifest.created()), text::plain(manifest.host()), text::plain(manifest.library()));
    writeln!(output, "{DIM}saved {time} ({age} ago) by process {process} on {host}, {library}{DIM:#}")?;
    let metadata = described(&values(manifest.metadata()));
    if !metadata.is_empty() {
        writeln!(output, "{metadata}")?;
    }
    for (path, value) in manifest.configuration() {
        let (path, value) = (text::plain(path), text::plain(value));
        writeln!(output, "{DIM}configuration{DIM:#} {path}  {value}")?;
    }
    writeln!(output)
}

/// Writes a value in a line, and its members in lines below, each indented further.
pub(crate) fn tree(
    output: &mut dyn Write,
    label: &str,
    outline: &Outline,
    depth: usize,
    colours: bool,
) -> io::Result<()> {
    let (indent, label) = (2 * depth, text::plain(label));
    let type_name = text::plain(&outline.type_name);
    write!(output, "{:indent$}{BOLD}{label}{BOLD:#}  {DIM}{type_name}{DIM:#}", "")?;
    if !outline.variants.is_empty() {
        write!(output, "  {}", text::plain(&outline.variants.join("::")))?;
    }
    match &outline.content {
        Content::Unit => writeln!(output),
        Content::None => writeln!(output, "  None"),
        Content::Number(number) => writeln!(output, "  {number}"),
        Content::Text { text, bytes } => {
            let more =
                if text.len() as u64 == *bytes { String::new() } else { format!(" … ({bytes} bytes)") };
            writeln!(output, "  {text:?}{more}")
        }
        Content::Bytes { first, bytes } => {
            let shown: String = first.iter().map(|byte| format!("{byte:02x}")).collect();
            let more =
                if first.len() as u64 == *bytes { String::new() } else { format!(" … ({bytes} bytes)") };
            writeln!(output, "  {shown}{more}")
        }
        Content::Members { members, total } => {
            let left = total.saturating_sub(members.len() as u64);
            if members.iter().all(|member| member.is_element && member.outline.is_short()) {
                let shown: Vec<String> = members.iter().map(|member| word(&member.outline)).collect();
                let more = if left > 0 { format!(", … {left} more") } else { String::new() };
                return writeln!(output, "  [{}{more}]", shown.join(", "));
            }
            writeln!(output)?;
            let inside = depth + 1;
            members
                .iter()
                .try_for_each(|member| tree(output, &member.label, &member.outline, inside, colours))?;
            if left > 0 {
                writeln!(output, "{:1$}{DIM}… {left} more{DIM:#}", "", indent + 2)?;
            }
            Ok(())
        }
        Content::Array(array) => show_array(output, array, indent, colours),
        Content::Checkpoint { state, .. } => {
            writeln!(output, "  {DIM}a checkpoint:{DIM:#}")?;
            tree(output, "state", state, depth + 1, colours)
        }
        Content::Deeper => writeln!(output, "  {DIM}…{DIM:#}"),
        Content::Opaque => writeln!(output, "  {DIM}its form is not in the checkpoint{DIM:#}"),
        Content::Unreadable(why) => writeln!(output, "  {BAD}{}{BAD:#}", text::plain(why)),
        _ => writeln!(output, "  {DIM}something that this version of ckpt does not know{DIM:#}"),
    }
}

/// A value, or its description, in a word.
pub(crate) fn word(outline: &Outline) -> String {
    let word = match &outline.content {
        Content::Number(number) => number.to_string(),
        Content::Text { text, .. } => format!("{text:?}"),
        Content::Bytes { bytes, .. } => format!("{bytes} bytes"),
        Content::None => "None".to_owned(),
        Content::Unit if outline.variants.is_empty() => "()".to_owned(),
        Content::Unit => String::new(),
        Content::Members { total: 1, .. } => "1 value".to_owned(),
        Content::Members { total, .. } => format!("{total} values"),
        Content::Array(array) => format!("{} ({})", array.element, shape(array)),
        Content::Checkpoint { .. } => "a checkpoint".to_owned(),
        _ => "…".to_owned(),
    };
    match text::plain(&outline.variants.join("::")) {
        variant if variant.is_empty() => word,
        variant if word.is_empty() => variant,
        variant => format!("{variant} {word}"),
    }
}

fn shape(array: &OutlineArray) -> String {
    let lengths: Vec<String> = array.shape.iter().map(ToString::to_string).collect();
    lengths.join(" × ")
}

fn show_array(output: &mut dyn Write, array: &OutlineArray, indent: usize, colours: bool) -> io::Result<()> {
    writeln!(output, "  {} ({})  {}", array.element, shape(array), text::bytes(array.bytes))?;
    if let Some(why) = &array.unreadable {
        return writeln!(output, "{:1$}{BAD}{2}{BAD:#}", "", indent + 2, text::plain(why));
    }
    let Some(summary) = &array.summary else {
        return writeln!(output, "{:1$}{DIM}not read: ask for it by its path{DIM:#}", "", indent + 2);
    };
    let statistics = &summary.statistics;
    let first: Vec<String> = summary.first.iter().map(ToString::to_string).collect();
    let more = if statistics.elements > first.len() as u64 { ", …" } else { "" };
    writeln!(output, "{:1$}[{2}{more}]", "", indent + 2, first.join(", "))?;
    let mut words = Vec::new();
    words.extend(statistics.min.map(|min| format!("min {min}")));
    words.extend(statistics.max.map(|max| format!("max {max}")));
    words.extend(statistics.mean.map(|mean| format!("mean {}", short(mean))));
    words.extend((statistics.nan > 0).then(|| format!("{} NaN", statistics.nan)));
    words.extend((statistics.infinite > 0).then(|| format!("{} infinite", statistics.infinite)));
    if !words.is_empty() {
        writeln!(output, "{:1$}{DIM}{2}{DIM:#}", "", indent + 2, words.join("  "))?;
    }
    picture::draw(output, &summary.profile, indent + 2, colours)
}

/// A number in about six digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-4..1e7).contains(&size) { format!("{value:.6}") } else { format!("{value:.5e}") }
}

/// Opens a file. A directory stands for its newest checkpoint that can be opened, or with `@` for
/// the generation of that number.
pub(crate) fn open(path: &Path, protection: &Protection) -> Result<File, Failure> {
    if let Some(InStore { home, generation }) = place::checkpoint(path)? {
        return match generation {
            Some(generation) => Ok(File::open_in(&home, generation, protection)?),
            None => newest(path, protection, 0)?.ok_or_else(|| Failure::NoCheckpoint(path.to_owned())),
        };
    }
    if let Some((directory, generation)) = generation_in(path) {
        return Ok(File::open_generation(directory, generation, protection)?);
    }
    if !path.is_dir() {
        return Ok(File::open(path, protection)?);
    }
    newest(path, protection, 0)?.ok_or_else(|| Failure::NoCheckpoint(path.to_owned()))
}

/// The two parts of `DIRECTORY@GENERATION`; `None` if the whole path exists.
fn generation_in(path: &Path) -> Option<(PathBuf, u64)> {
    if path.symlink_metadata().is_ok() {
        return None;
    }
    let (directory, generation) = path.to_str()?.rsplit_once('@')?;
    Some((PathBuf::from(directory), generation.parse().ok()?)).filter(|(directory, _)| directory.is_dir())
}

/// The newest generation of a directory that can be opened, or the one that is this number of
/// generations older.
pub(crate) fn newest(path: &Path, protection: &Protection, before: usize) -> Result<Option<File>, Failure> {
    Ok(match place::home(path)? {
        Some(home) => inspect::newest_in(&home, protection, before)?,
        None => inspect::newest(path, protection, before)?,
    })
}

/// Calls `work` on the node at a path. The node may be in a checkpoint inside the checkpoint, and
/// so on.
pub(crate) fn at<R>(
    file: &File,
    path: &str,
    work: &mut dyn FnMut(&File, &Node<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    match file.find(path)? {
        Found::Node(node) => work(file, &node),
        Found::Inside(inner, rest) => at(&inner, &rest, work),
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let mut file = open(&arguments.checkpoint, protection)?;
    let path = arguments.path.clone().unwrap_or_default();
    let mut limits = Limits::default();
    if let Some(elements) = arguments.elements {
        limits = limits.elements(elements);
    }
    if !path.is_empty() {
        // A requested field is read at any length.
        limits = limits.statistics_bytes(u64::MAX);
    }
    match (GroupFile::of(&file, protection)?, arguments.rank) {
        (Some(group), Some(rank)) if rank < group.size() => file = group.part(rank)?,
        (Some(group), Some(rank)) => return Err(Failure::NoRank { rank, processes: group.size() }),
        (None, Some(_)) => return Err(Failure::NoGroup(file.path().to_owned())),
        (Some(group), None) if path.is_empty() => {
            let shown = GroupShown::of(&file, &group, &limits, output.has_colours())?;
            output.answer(&shown)?;
            return Ok(Verdict::Well);
        }
        (_, None) => file = whole(file, protection)?,
    }
    let state = at(&file, &path, &mut |_, node| Ok(node.outline(&limits)?))?;
    output.answer(&Shown {
        header: file.header(),
        path_in_state: path,
        state,
        colours: output.has_colours(),
    })?;
    Ok(Verdict::Well)
}
