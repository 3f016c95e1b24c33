//! Defines the codes of errors, each with a page for operators.

use super::ErrorKind;
use std::fmt;

macro_rules! codes {
    ($($variant:ident = $number:literal, $kind:ident, $summary:literal;)*) => {
        /// Identifies an error and its page.
        ///
        /// ```
        /// use kcl_core::{Code, ErrorKind};
        ///
        /// assert_eq!(Code::Permission.as_str(), "KCL-0006");
        /// assert_eq!(Code::Permission.kind(), ErrorKind::Authorization);
        /// println!("{}", Code::Permission.page()); // what happened, and what to do
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $summary]
            #[doc = ""]
            #[doc = include_str!(concat!("code/KCL-", $number, ".md"))]
            $variant,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The code as messages show it, such as `KCL-0012`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => concat!("KCL-", $number)),* }
            }

            /// The kind of the error, which tells a program how to react.
            #[must_use]
            pub const fn kind(self) -> ErrorKind {
                match self { $(Code::$variant => ErrorKind::$kind),* }
            }

            /// The page as Markdown: what happened, and what to do.
            #[must_use]
            pub const fn page(self) -> &'static str {
                match self { $(Code::$variant => include_str!(concat!("code/KCL-", $number, ".md"))),* }
            }
        }
    };
}

codes! {
    Setting = "0001", Configuration, "A setting is invalid, or settings contradict each other.";
    UnknownSetting = "0002", Configuration, "A setting's name is unknown.";
    WorkerId = "0003", Configuration, "The worker id cannot be used.";
    Region = "0004", Configuration, "No Region is configured.";
    Credentials = "0005", Authorization, "There are no credentials, or they are not accepted.";
    Permission = "0006", Authorization, "A permission is missing.";
    Unreachable = "0007", Transient, "A service's endpoint cannot be reached.";
    StreamMissing = "0008", Configuration, "The stream does not exist.";
    TableUnusable = "0009", Configuration, "The lease table cannot be created or has another shape.";
    TableInUse = "0010", Configuration, "A Java KCL fleet is still writing the lease table.";
    TableFormat = "0011", Configuration, "The lease table was written by a newer version.";
    OtherStream = "0012", Configuration, "The lease table belongs to another stream.";
    Replaced = "0013", Stopped, "Another process took this worker's id.";
    StoppedByPolicy = "0014", Stopped, "The error policy stopped the worker.";
    Bug = "0015", Bug, "The library violated one of its own invariants.";
    Runtime = "0016", Configuration, "The worker's own thread could not be started.";
    LeaseKeys = "0017", Configuration, "The lease table has the other kind of lease keys.";
    CannotRead = "0018", Stopped, "The error policy stopped the worker because a shard could not be read.";
    FleetLives = "0019", Configuration, "A worker of the fleet is still alive.";
    Quarantined = "0020", Configuration, "Keys are quarantined, and the table was to be handed back.";
    OtherRange = "0021", Configuration, "The lease table belongs to another replay, or to no replay.";
    EncryptionKey = "0022", Authorization, "The encryption key of a stream or table cannot be used.";
    TableMissing = "0023", Configuration, "The lease table does not exist.";
    StoreMisused = "0024", Configuration, "A handler with a checkpoint store would skip records.";
    FleetSettings = "0025", Configuration, "The fleet uses other settings than this worker.";
    WorkerState = "0026", Stopped, "The worker's present state does not allow the operation.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_with_what_happened_and_what_to_do() {
        for code in Code::ALL {
            let page = code.page();
            assert!(page.starts_with(&format!("# {code}: ")), "{code}: the page's title is `# {code}: <summary>`");
            for section in ["\n## What happened\n", "\n## What to do\n"] {
                let (_, text) = page.split_once(section).unwrap_or_else(|| panic!("{code}: no section {section:?}"));
                assert!(
                    text.trim_start().starts_with(|first: char| !"#".contains(first)),
                    "{code}: {section:?} is empty"
                );
            }
        }
    }

    #[test]
    fn code_numbers_have_no_gaps_and_no_duplicates() {
        let numbers: Vec<_> = Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
        let expected: Vec<_> = (1..=Code::ALL.len()).map(|number| format!("KCL-{number:04}")).collect();
        assert_eq!(numbers, expected);
    }
}
