//! Shows progress on standard error: a bar on a terminal, else a line per tenth of the records.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

pub(crate) enum Progress {
    /// A bar that is redrawn in place.
    Bar(ProgressBar),
    /// A line per tenth of `total`; the next line is printed at `next` records.
    Lines { total: usize, next: usize },
}

impl Progress {
    /// Progress of `total` records, in the form that standard error supports.
    pub(crate) fn new(total: usize) -> Self {
        if !std::io::stderr().is_terminal() {
            return Progress::Lines { total, next: tenth(total, 1) };
        }
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} records, {elapsed}  {msg}")
        {
            bar.set_style(style);
        }
        Progress::Bar(bar)
    }

    /// Shows that `records` records are done.
    pub(crate) fn reached(&mut self, records: usize) {
        match self {
            Progress::Bar(bar) => bar.set_position(records as u64),
            Progress::Lines { total, next } => {
                if records >= *next {
                    eprintln!("{records} of {total} records");
                    *next = tenth(*total, records * 10 / (*total).max(1) + 1);
                }
            }
        }
    }

    /// Prints a line above the bar.
    pub(crate) fn note(&self, text: &str) {
        match self {
            Progress::Bar(bar) => bar.println(text),
            Progress::Lines { .. } => eprintln!("{text}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Progress::Bar(bar) = self {
            bar.abandon();
        }
    }
}

/// The number of records at which the `n`th tenth of `total` is reached.
fn tenth(total: usize, n: usize) -> usize {
    (total * n).div_ceil(10).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_at_each_tenth_for_steps_of_any_size() {
        let mut progress = Progress::Lines { total: 27_004, next: tenth(27_004, 1) };
        let mut due = Vec::new();
        for records in [1, 2_700, 2_701, 9_000, 27_004] {
            progress.reached(records);
            if let Progress::Lines { next, .. } = &progress {
                due.push(*next);
            }
        }
        assert_eq!(due, [2_701, 2_701, 5_401, 10_802, 29_705]);
    }
}
