//! Dead letters in a file, one line of JSON each.

use super::{BoxError, DeadLetter, DeadLetterSink};
use async_trait::async_trait;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Appends each letter to a file as one line ([`DeadLetter::to_json`]), and has the operating system write it to the disk
/// before it counts as taken.
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
    pub fn open(path: impl AsRef<Path>) -> std::io::Result<Self> {
        let path = path.as_ref().to_owned();
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
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
            // One call: a line is whole, or the write failed and the letter comes again.
            file.write_all(line.as_bytes())?;
            file.sync_data()
        });
        let told = |error: std::io::Error| format!("dead-letter file `{}`: {error}", self.path.display());
        written.await.map_err(|error| told(error.into()))?.map_err(told)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, SequenceNumber, ShardId, StreamRef};

    #[tokio::test]
    async fn letters_are_appended_one_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("letters.jsonl");
        for number in ["1", "2"] {
            let record = Record::new(SequenceNumber::parse(number).unwrap(), "x");
            let shard = ShardId::from("shardId-000000000000");
            let letter = DeadLetter::new(StreamRef::from("flights"), shard, record, 1, "down".to_owned());
            JsonLinesFile::open(&path).unwrap().put(&letter).await.unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let numbers: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["sequence_number"].clone())
            .collect();
        assert_eq!(numbers, ["1", "2"]);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_once() {
        let directory = tempfile::tempdir().unwrap();
        assert!(JsonLinesFile::open(directory.path()).is_err());
    }
}
