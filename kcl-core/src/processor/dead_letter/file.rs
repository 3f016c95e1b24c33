//! Dead letters in a file, one line of JSON each.

use super::{BoxError, DeadLetter, DeadLetterSink};
use async_trait::async_trait;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Appends each letter to a file as one line ([`DeadLetter::to_json`]), and has the operating system write it to the disk
/// before it counts as taken.
///
/// A letter holds the record's whole payload and its partition key, so a new file can be read by its owner only (mode 0600
/// on Unix). Several workers on one machine may share a file.
///
/// # Guarantees
/// A letter that was taken is one whole line. Where only a part of one could be written (a full disk), the part is removed
/// again and the letter fails; where not even that was possible (a crash, a kill), the next letter begins on a new line.
#[derive(Clone, Debug)]
pub struct JsonLinesFile {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl JsonLinesFile {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    /// When it can be neither opened nor created.
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
            // Other workers may append too. A file system without locks is one that is not shared.
            let locked = file.lock().is_ok();
            let appended = append(&mut *file, line.as_bytes());
            if locked {
                let _ = file.unlock();
            }
            appended
        });
        let told = |error: io::Error| format!("dead-letter file `{}`: {error}", self.path.display());
        written.await.map_err(|error| told(error.into()))?.map_err(told)?;
        Ok(())
    }
}

/// A file, or one of a test.
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

/// Appends a whole line, or nothing.
fn append(file: &mut impl Lines, line: &[u8]) -> io::Result<()> {
    let len = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if len > 0 {
        file.seek(SeekFrom::Start(len - 1))?;
        file.read_exact(&mut last)?;
    }
    // A part of a line that a crash left behind must not swallow this one.
    let begin: &[u8] = if last == [b'\n'] { b"" } else { b"\n" };
    let written = file.write_all(&[begin, line].concat()).and_then(|()| file.sync());
    if written.is_err() {
        // If this fails as well, the next line finds the part and begins anew.
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
    async fn letters_are_appended_one_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("letters.jsonl");
        put(&path, "1").await;
        put(&path, "2").await;
        // As a kill in the middle of a letter leaves it.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"key\":\"fli").unwrap();
        put(&path, "3").await;
        let text = std::fs::read_to_string(&path).unwrap();
        let whole = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let numbers: Vec<_> = whole.map(|letter| letter["sequence_number"].clone()).collect();
        assert_eq!(numbers, ["1", "2", "3"]);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_new_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("letters.jsonl");
        put(&path, "1").await;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_once() {
        let directory = tempfile::tempdir().unwrap();
        assert!(JsonLinesFile::open(directory.path()).is_err());
    }

    /// A disk with room for so many bytes, on which a file may not even be cut.
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
        /// At the end, whatever the place, as a file that was opened to append.
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
        fn every_line_that_was_taken_is_whole(rooms in proptest::collection::vec(0_u64..200, 1..20), cuts: bool) {
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
            // A whole one that was not taken lacks its line break only: it comes again.
            let mut lines = text.lines();
            prop_assert!(taken.iter().all(|letter| lines.any(|line| line == letter)), "{:?} in {}", taken, text);
            prop_assert!(text.lines().all(|line| line.matches('{').count() <= 1), "none is glued to another: {}", text);
            prop_assert!(!cuts || text.lines().eq(taken.iter()), "nothing else: {}", text);
        }
    }
}
