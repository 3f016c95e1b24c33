//! `flights report DIR`: what all `flights work` processes that wrote into a directory did together.

use crate::Failure;
use crate::input;
use crate::journal::{self, Line};
use crate::tally::{Handled, Summary, Tally};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What to report of.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory that `flights work --out` wrote to.
    dir: PathBuf,
    /// The file that was fed; what it has and no worker handled counts as lost.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// Merges the files of the directory. A repeat is a sequence number that was there before, whoever wrote it.
pub(crate) fn run(arguments: &Arguments) -> Result<Summary, Failure> {
    let flights = input::read(arguments.input.as_deref().unwrap_or(&input::bundled()))?;
    let files = journal::files(&arguments.dir)?;
    let mut tally = Tally::default();
    for file in &files {
        let (lines, torn) = journal::read(file)?;
        for Line { sequence_number, carrier, delay, .. } in lines {
            tally.add(Handled { sequence_number, carrier, dep_delay: delay });
        }
        if torn > 0 {
            eprintln!("{}: {torn} unfinished lines left out (a process was killed while it wrote)", file.display());
        }
    }
    let lost = tally.missing_by_carrier(flights.iter().map(|flight| flight.carrier.as_str()));
    Ok(tally.summary(lost, span(&files)))
}

/// From the birth of the oldest file to the last write to any; zero where the file system does not tell.
fn span(files: &[PathBuf]) -> Duration {
    let of = |ask: fn(&std::fs::Metadata) -> std::io::Result<SystemTime>| {
        files.iter().filter_map(move |file: &PathBuf| ask(&Path::metadata(file).ok()?).ok())
    };
    let (first, last) = (of(std::fs::Metadata::created).min(), of(std::fs::Metadata::modified).max());
    first.zip(last).and_then(|(first, last)| last.duration_since(first).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;

    #[test]
    fn files_are_merged_and_repeats_counted_across_them() {
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
