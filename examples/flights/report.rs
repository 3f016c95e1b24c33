//! `flights report DIR`: merges the journals of all `flights work` processes into one summary.

use crate::Failure;
use crate::input;
use crate::journal::{self, Line};
use crate::tally::{Handled, Summary, Tally};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory that `flights work --out` wrote to.
    dir: PathBuf,
    /// The file that `flights feed` read. Its flights that no worker processed count as lost.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// Merges the journals of the directory. A sequence number that occurs again, in any journal,
/// counts as repeated.
pub(crate) fn run(arguments: &Arguments) -> Result<Summary, Failure> {
    let flights = input::read(arguments.input.as_deref().unwrap_or(&input::bundled()))?;
    let files = journal::files(&arguments.dir)?;
    let mut tally = Tally::default();
    for file in &files {
        let (lines, partial) = journal::read(file)?;
        for Line { sequence_number, carrier, delay, .. } in lines {
            tally.add(Handled { sequence_number, carrier, dep_delay: delay });
        }
        if partial > 0 {
            eprintln!("{}: ignored {partial} partial lines (the process was killed while it wrote)", file.display());
        }
    }
    let lost = tally.missing_by_carrier(flights.iter().map(|flight| flight.carrier.as_str()));
    Ok(tally.summary(lost, span(&files)))
}

/// The time from the creation of the first journal to the last write to any. Zero if the file
/// system does not record it.
fn span(files: &[PathBuf]) -> Duration {
    let times = |read: fn(&std::fs::Metadata) -> std::io::Result<SystemTime>| {
        files.iter().filter_map(move |file: &PathBuf| read(&Path::metadata(file).ok()?).ok())
    };
    let (first, last) = (times(std::fs::Metadata::created).min(), times(std::fs::Metadata::modified).max());
    first.zip(last).and_then(|(first, last)| last.duration_since(first).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;

    #[test]
    fn journals_are_merged_and_repeats_are_counted_across_them() {
        let dir = std::env::temp_dir().join(format!("flights-report-{}", std::process::id()));
        let line = |number: &str| Line {
            shard: "shardId-000000000000".to_owned(),
            sequence_number: number.to_owned(),
            carrier: "UA".to_owned(),
            delay: Some(2.0),
        };
        for (worker, numbers) in [("one", ["1", "2"]), ("two", ["2", "3"])] {
            let journal = Journal::open(&dir, worker).unwrap();
            numbers.iter().for_each(|number| journal.append(&line(number)).unwrap());
        }
        let summary = run(&Arguments { dir: dir.clone(), input: None }).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!((summary.records, summary.repeated, summary.lost), (3, 1, 27_004 - 3));
        assert_eq!(summary.carriers["UA"].mean_dep_delay, Some(2.0));
    }
}
