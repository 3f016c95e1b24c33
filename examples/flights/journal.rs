//! Reads and writes the file of one `flights work` process: a line per processed flight.

use crate::Failure;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A processed flight and its position in the stream.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) shard: String,
    pub(crate) sequence_number: String,
    pub(crate) carrier: String,
    /// Departure delay in minutes.
    pub(crate) delay: Option<f64>,
}

/// A file that lines are appended to.
#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    /// Opens `DIR/NAME.jsonl`, and continues the file of an earlier process of that name.
    pub(crate) fn open(dir: &Path, name: &str) -> Result<Self, Failure> {
        std::fs::create_dir_all(dir).map_err(|error| format!("cannot create {}: {error}", dir.display()))?;
        let path = dir.join(format!("{name}.jsonl"));
        let open = || {
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
            end_partial_line(&mut file)?;
            Ok(file)
        };
        open().map(Journal).map_err(|error: std::io::Error| format!("cannot open {}: {error}", path.display()).into())
    }

    /// Appends a line in one write. The line survives a crash of the process (a crash of the
    /// machine only after an fsync, which this example leaves out).
    pub(crate) fn append(&self, line: &Line) -> Result<(), Failure> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        // The processors of all shards share the file without a lock: writes to a file opened for
        // appending do not mix.
        (&self.0).write_all(&text)?;
        Ok(())
    }
}

/// Ends a partial line that a killed process left, so that the next line does not continue it.
///
/// The record of the partial line was not acknowledged, so it is delivered again.
fn end_partial_line(file: &mut File) -> std::io::Result<()> {
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// Returns the paths of the journals in a directory, sorted.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let list = || {
        let paths = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
        let mut paths = paths.collect::<std::io::Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        paths.sort();
        Ok(paths)
    };
    list().map_err(|error: std::io::Error| format!("cannot list {}: {error}", dir.display()).into())
}

/// Returns the lines of a journal, and the number of partial lines.
pub(crate) fn read(path: &Path) -> Result<(Vec<Line>, usize), Failure> {
    let text = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let all: Vec<_> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let lines: Vec<Line> = all.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let partial = all.len() - lines.len();
    Ok((lines, partial))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: &str) -> Line {
        Line { shard: "s".to_owned(), sequence_number: number.to_owned(), carrier: "UA".to_owned(), delay: None }
    }

    #[test]
    fn a_journal_continues_after_a_partial_line() {
        let dir = std::env::temp_dir().join(format!("flights-journal-{}", std::process::id()));
        Journal::open(&dir, "w").unwrap().append(&line("1")).unwrap();
        let path = dir.join("w.jsonl");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(br#"{"shard":"s","sequ"#).unwrap();
        Journal::open(&dir, "w").unwrap().append(&line("2")).unwrap();
        let read = (files(&dir).unwrap().len(), read(&path).unwrap());
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(read, (1, (vec![line("1"), line("2")], 1)));
    }
}
