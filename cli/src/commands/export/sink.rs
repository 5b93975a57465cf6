//! Where an export is written: a stream, or a file that gets its name when it is complete.
//!
//! A file is written as `NAME.unfinished`, a page at a time. `NAME.unfinished.json` says how many bytes of it are known
//! to be complete: what a killed export wrote after them is truncated before the export is resumed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::core::ErrorCode;

use super::compression::{Frame, FrameCompression};
use super::selection::SelectionCursor;
use crate::args::ExportFormat;
use crate::failure::{CliError, Exit};
use crate::out;

/// Does not follow a link, and does not block on a pipe at that path.
const NOT_BY_LINKS: i32 = rustix::fs::OFlags::NOFOLLOW.union(rustix::fs::OFlags::NONBLOCK).bits().cast_signed();

/// What an export contains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportPlan {
    /// Content of each line.
    pub format: ExportFormat,
    pub selection: String,
    /// The event whose state is written.
    pub seq: i64,
    /// Where the archive is, and the number of the first event of its log: a rebuilt log has another one.
    #[serde(default)]
    pub log: (String, i64),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportProgress {
    /// Where the next page starts.
    pub cursor: SelectionCursor,
    /// Bytes of the file that are complete.
    pub bytes: u64,
    /// Records written.
    pub records: u64,
    /// Deletions written.
    pub deletions: u64,
    /// Records that were omitted and listed on standard error.
    pub left_out: u64,
    /// Omitted records that are not in the archive.
    #[serde(default)]
    pub absent: u64,
}

/// Content of `NAME.unfinished.json`.
#[derive(Serialize, Deserialize)]
struct Saved {
    plan: ExportPlan,
    progress: ExportProgress,
}

pub enum Sink {
    /// Standard output, a pipe or a device.
    Stream(Box<dyn Write>, FrameCompression),
    File(Unfinished),
}

pub struct Unfinished {
    file: File,
    compression: FrameCompression,
    path: PathBuf,
    data: PathBuf,
    state: PathBuf,
}

impl Sink {
    /// Opens the output. An unfinished export of the same kind is resumed: as of its own event, after its last page.
    pub fn open(
        path: Option<&Path>,
        plan: ExportPlan,
        restart: bool,
    ) -> Result<(Self, ExportPlan, ExportProgress), CliError> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok((
                Self::Stream(Box::new(out::stdout()), FrameCompression::Plain),
                plan,
                ExportProgress::default(),
            ));
        };
        let compression = FrameCompression::of(path);
        let cannot_write =
            |error: &dyn std::fmt::Display| CliError::usage(format!("cannot write {}: {error}", path.display()));
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(cannot_write(&"it is a directory")),
            // A pipe or a device is written to directly, and is not replaced.
            Ok(metadata) if !metadata.is_file() => {
                let stream = OpenOptions::new().write(true).open(path).map_err(|error| cannot_write(&error))?;
                return Ok((Self::Stream(Box::new(stream), compression), plan, ExportProgress::default()));
            }
            _ => {}
        }
        let data = beside(path, ".unfinished");
        let state = beside(path, ".unfinished.json");
        let mut file = open_own(&data).map_err(|error| cannot_write(&format!("{}: {error}", data.display())))?;
        if file.try_lock().is_err() {
            return Err(cannot_write(&"another export is writing to it"));
        }
        let saved: Option<Saved> = read(&state).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let length = file.metadata().map_err(|error| cannot_write(&error))?.len();
        let resumed = saved.filter(|saved| {
            let is_same = ExportPlan { seq: plan.seq, ..saved.plan.clone() } == plan;
            !restart && is_same && saved.progress.bytes <= length
        });
        let (plan, progress) = match resumed {
            Some(Saved { plan, progress }) => {
                out::note(format_args!(
                    "resuming the export of event {} after {}; --restart starts again",
                    plan.seq,
                    out::counted(progress.records, "record")
                ));
                (plan, progress)
            }
            None => (plan, ExportProgress::default()),
        };
        file.set_len(progress.bytes).map_err(|error| cannot_write(&error))?;
        file.seek(SeekFrom::Start(progress.bytes)).map_err(|error| cannot_write(&error))?;
        let unfinished = Unfinished { file, compression, path: path.to_owned(), data, state };
        Ok((Self::File(unfinished), plan, progress))
    }

    /// Starts a page.
    pub fn frame(&mut self) -> Result<Frame<&mut dyn Write>, CliError> {
        let (out, compression): (&mut dyn Write, _) = match self {
            Self::Stream(stream, compression) => (stream, *compression),
            Self::File(unfinished) => (&mut unfinished.file, unfinished.compression),
        };
        Ok(Frame::new(compression, out)?)
    }

    /// Makes what has been written durable, then records it.
    pub fn commit(&mut self, plan: &ExportPlan, progress: &mut ExportProgress) -> Result<(), CliError> {
        match self {
            Self::Stream(stream, _) => Ok(stream.flush()?),
            Self::File(unfinished) => {
                unfinished.commit(plan, progress).map_err(|error| failed(Some(&unfinished.path), &error))
            }
        }
    }

    /// Renames a complete file to its final name.
    pub fn finish(mut self) -> Result<(), CliError> {
        // A compressed file without records must also be valid in its format.
        if let Self::File(unfinished) = &mut self {
            let length = unfinished.file.stream_position().map_err(|error| failed(Some(&unfinished.path), &error))?;
            if length == 0 {
                self.frame()?.finish()?;
            }
        }
        let Self::File(Unfinished { file, path, data, state, .. }) = self else { return Ok(()) };
        let renamed = file.sync_all().and_then(|()| fs::rename(&data, &path));
        renamed.map_err(|error| failed(Some(&path), &error))?;
        // Without its file the state has no meaning.
        let _ = fs::remove_file(&state);
        Ok(())
    }
}

impl Unfinished {
    fn commit(&mut self, plan: &ExportPlan, progress: &mut ExportProgress) -> io::Result<()> {
        self.file.sync_data()?;
        progress.bytes = self.file.stream_position()?;
        let saved = Saved { plan: plan.clone(), progress: progress.clone() };
        let next = beside(&self.state, ".next");
        let mut file = open_own(&next)?;
        file.set_len(0)?;
        file.write_all(&serde_json::to_vec(&saved)?)?;
        fs::rename(&next, &self.state)
    }
}

/// The error of an output that can no longer be written.
pub fn failed(path: Option<&Path>, error: &io::Error) -> CliError {
    let Some(path) = path.filter(|path| *path != Path::new("-")) else {
        // The error message names standard output.
        return CliError::new(Exit::Unavailable, ErrorCode::Internal, error.to_string());
    };
    let message = format!("cannot write {}: {error}; rerun the same command to resume", path.display());
    CliError::new(Exit::Unavailable, ErrorCode::ArchiveError, message)
}

/// Opens a file whose name others can guess, or creates it. In a directory that others can write to, it may be a link
/// to a file of the user, or the file of another user, who could read and change what is written.
fn open_own(path: &Path) -> io::Result<File> {
    own(OpenOptions::new().create(true).truncate(false).write(true).custom_flags(NOT_BY_LINKS).open(path)?)
}

fn own(file: File) -> io::Result<File> {
    let is = file.metadata()?;
    if is.is_file() && is.uid() == rustix::process::geteuid().as_raw() && is.nlink() == 1 {
        return Ok(file);
    }
    Err(io::Error::other("it exists and is not a private file of this user: remove it"))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    own(OpenOptions::new().read(true).custom_flags(NOT_BY_LINKS).open(path)?)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
