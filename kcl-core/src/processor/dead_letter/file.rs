//! Implements a dead-letter sink that appends JSON lines to a file.

use super::{BoxError, DeadLetter, DeadLetterSink};
use async_trait::async_trait;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A [`DeadLetterSink`](crate::policy::DeadLetterSink) that appends each letter to a file as one
/// line of JSON ([`DeadLetter::to_json`]), and syncs the file before `put` succeeds.
///
/// A letter contains the record's payload and partition key, so a new file is readable by its owner
/// only (mode 0600 on Unix). Several workers on one machine may share a file.
///
/// # What holds
/// Each letter for which `put` succeeded is one whole line. If a line could be written only in part
/// (a full disk), the part is removed and `put` fails. If it could not be removed (a crash), the
/// next letter begins on a new line, so a reader has to skip lines that do not parse.
#[derive(Clone, Debug)]
pub struct JsonLinesFile {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl JsonLinesFile {
    /// Opens the file for appending, and creates it if it does not exist.
    ///
    /// # Errors
    /// The file can be neither opened nor created.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        Ok(JsonLinesFile { path, file: Arc::new(Mutex::new(file)) })
    }
}

#[async_trait]
impl DeadLetterSink for JsonLinesFile {
    async fn put(&self, letter: &DeadLetter) -> Result<(), BoxError> {
        let (file, mut line) = (Arc::clone(&self.file), letter.to_json());
        line.push('\n');
        let written = tokio::task::spawn_blocking(move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // Other processes may append, too. If the file system has no locks, go on without one:
            // `append` still writes whole lines for a single writer.
            let locked = file.lock().is_ok();
            let appended = append(&mut *file, line.as_bytes());
            if locked {
                let _ = file.unlock();
            }
            appended
        });
        let with_path = |error: io::Error| format!("dead-letter file `{}`: {error}", self.path.display());
        written.await.map_err(|error| with_path(error.into()))?.map_err(with_path)?;
        Ok(())
    }
}

/// A file, or a test's disk.
trait Lines: Read + Write + Seek {
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

impl Lines for File {
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Appends a whole line or nothing.
fn append(file: &mut impl Lines, line: &[u8]) -> io::Result<()> {
    let len = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if len > 0 {
        file.seek(SeekFrom::Start(len - 1))?;
        file.read_exact(&mut last)?;
    }
    // If a crash left a part of a line, start a new line, so that this letter does not become a
    // part of it.
    let begin: &[u8] = if last == [b'\n'] { b"" } else { b"\n" };
    let written = file.write_all(&[begin, line].concat()).and_then(|()| file.sync());
    if written.is_err() {
        // If this fails as well, the next call finds the part and starts a new line.
        let _ = file.set_len(len);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, SequenceNumber, ShardId, StreamRef};
    use proptest::prelude::*;
    use std::io::Cursor;

    async fn put(path: &Path, number: &str) {
        let record = Record::new(SequenceNumber::parse(number).unwrap(), "x");
        let shard = ShardId::from("shardId-000000000000");
        let letter = DeadLetter::new(StreamRef::from("flights"), None, shard, record, 1, "down".to_owned());
        JsonLinesFile::open(path).unwrap().put(&letter).await.unwrap();
    }

    #[tokio::test]
    async fn letters_are_appended_one_per_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("letters.jsonl");
        put(&path, "1").await;
        put(&path, "2").await;
        // A kill in the middle of a write leaves this.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"key\":\"fli").unwrap();
        put(&path, "3").await;
        let text = std::fs::read_to_string(&path).unwrap();
        let whole = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let numbers: Vec<_> = whole.map(|letter| letter["sequence_number"].clone()).collect();
        assert_eq!(numbers, ["1", "2", "3"]);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_new_file_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("letters.jsonl");
        put(&path, "1").await;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_of_open() {
        let directory = tempfile::tempdir().unwrap();
        assert!(JsonLinesFile::open(directory.path()).is_err());
    }

    /// A disk with `room` bytes; `cuts` says whether a file can be truncated.
    struct Disk {
        file: Cursor<Vec<u8>>,
        room: u64,
        cuts: bool,
    }

    impl Read for Disk {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.file.read(into)
        }
    }

    impl Seek for Disk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.file.seek(to)
        }
    }

    impl Write for Disk {
        /// Writes at the end whatever the position is, as a file that was opened for appending
        /// does.
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let end = self.file.seek(SeekFrom::End(0))?;
            let fits = self.room.saturating_sub(end).min(bytes.len() as u64);
            if fits == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.file.write(&bytes[..usize::try_from(fits).unwrap()])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines for Disk {
        fn set_len(&mut self, len: u64) -> io::Result<()> {
            if !self.cuts {
                return Err(io::ErrorKind::Other.into());
            }
            self.file.get_mut().truncate(usize::try_from(len).unwrap());
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn every_letter_that_was_taken_is_a_whole_line(rooms in proptest::collection::vec(0_u64..200, 1..20), cuts: bool) {
            let mut disk = Disk { file: Cursor::default(), room: 0, cuts };
            let mut taken = Vec::new();
            for (number, room) in rooms.into_iter().enumerate() {
                disk.room = room;
                let line = format!("{{\"letter {number}\"}}");
                if append(&mut disk, format!("{line}\n").as_bytes()).is_ok() {
                    taken.push(line);
                }
            }
            let text = String::from_utf8(disk.file.into_inner()).unwrap();
            // A whole line that was not taken lacks only its line break; that letter is put again.
            let mut lines = text.lines();
            prop_assert!(taken.iter().all(|letter| lines.any(|line| line == letter)), "{:?} in {}", taken, text);
            prop_assert!(text.lines().all(|line| line.matches('{').count() <= 1), "no line contains two letters: {}", text);
            prop_assert!(!cuts || text.lines().eq(taken.iter()), "the file contains nothing else: {}", text);
        }
    }
}
