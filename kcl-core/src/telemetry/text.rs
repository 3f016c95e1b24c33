//! Texts in log lines and errors that somebody else wrote: cut at a length that a log can bear.

use std::fmt;

/// The most characters that are shown of a text of a service, a row or a handler.
const LONGEST: usize = 500;

/// A text, cut after [`LONGEST`] characters.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => {
            let (shown, bytes) = (text.get(..end).unwrap_or_default(), text.len());
            format!("{shown}... ({bytes} bytes in all)")
        }
    }
}

/// Shows something cut.
pub(crate) struct Cut<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Cut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&cut(&self.0.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character_and_says_how_long_it_was() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"x".repeat(LONGEST)), "x".repeat(LONGEST));
        let long = cut(&"é".repeat(10_000));
        assert_eq!(long, format!("{}... (20000 bytes in all)", "é".repeat(LONGEST)));
        assert_eq!(Cut(1234).to_string(), "1234");
    }
}
