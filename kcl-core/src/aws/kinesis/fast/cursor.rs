//! A position in a JSON text.

use std::borrow::Cow;

/// What was expected at which byte. It never contains the text found there, which may be payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub(super) struct Malformed {
    pub(super) expected: &'static str,
    pub(super) at: usize,
}

/// The most nested objects and arrays: the same limit as the SDK's parser.
const MAX_DEPTH: u32 = 128;

#[derive(Debug)]
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Cursor { text, at: 0 }
    }

    pub(super) fn malformed(&self, expected: &'static str) -> Malformed {
        Malformed { expected, at: self.at }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Returns the next byte that is not whitespace, without consuming it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    pub(super) fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return Err(self.malformed(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// Consumes the word, if it is next.
    pub(super) fn word(&mut self, word: &str) -> bool {
        self.peek();
        let is_there = self.rest().starts_with(word.as_bytes())
            && !self.rest().get(word.len()).is_some_and(u8::is_ascii_alphanumeric);
        if is_there {
            self.at += word.len();
        }
        is_there
    }

    /// Finds the next element of an object or array; consumes the closing bracket if there is none.
    pub(super) fn element(&mut self, first: bool, close: u8) -> Result<bool, Malformed> {
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                return Ok(false);
            }
            Some(b',') if !first => self.at += 1,
            Some(_) if first => {}
            _ => return Err(self.malformed("`,` or the end of an object or array")),
        }
        match self.peek() {
            Some(byte) if byte != close && byte != b',' => Ok(true),
            _ => Err(self.malformed("an element")),
        }
    }

    /// Returns the bytes of a string, with escapes decoded.
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        self.take(b'"', "a string")?;
        let begin = self.at;
        let mut escaped = false;
        loop {
            let Some(offset) = memchr::memchr2(b'"', b'\\', self.rest()) else {
                return Err(self.malformed("the end of a string"));
            };
            self.at += offset;
            if self.text.get(self.at) == Some(&b'"') {
                break;
            }
            escaped = true;
            self.at += 2;
        }
        let raw = self.text.get(begin..self.at).unwrap_or_default();
        self.at += 1;
        if !escaped {
            return Ok(Cow::Borrowed(raw));
        }
        let quoted = self.text.get(begin - 1..self.at).unwrap_or_default();
        match serde_json::from_slice::<String>(quoted) {
            Ok(text) => Ok(Cow::Owned(text.into_bytes())),
            Err(_) => Err(Malformed { expected: "a string with valid escapes", at: begin }),
        }
    }

    /// Returns the key of an object's member and consumes the colon.
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let at = self.at;
        let key = text(self.string()?, at)?;
        self.take(b':', "`:`")?;
        self.peek();
        Ok(key)
    }

    /// Returns the text of a number, in the grammar of RFC 8259.
    pub(super) fn number(&mut self) -> Result<&'a str, Malformed> {
        self.peek();
        let (begin, malformed) = (self.at, self.malformed("a number"));
        self.pass(b"-");
        if !self.pass(b"0") && self.digits() == 0 {
            return Err(malformed);
        }
        if self.pass(b".") && self.digits() == 0 {
            return Err(malformed);
        }
        if self.pass(b"eE") {
            self.pass(b"+-");
            if self.digits() == 0 {
                return Err(malformed);
            }
        }
        // `01` would be two consecutive numbers, and `1.2.3` or `1e1e1` a number followed by other
        // text.
        if let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') = self.text.get(self.at) {
            return Err(malformed);
        }
        self.text.get(begin..self.at).and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(malformed)
    }

    /// Consumes one of these bytes, if it is next.
    fn pass(&mut self, any: &[u8]) -> bool {
        let is_there = self.text.get(self.at).is_some_and(|byte| any.contains(byte));
        self.at += usize::from(is_there);
        is_there
    }

    /// Consumes digits and counts them.
    fn digits(&mut self) -> usize {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    /// Skips a value within `open` objects and arrays. It must be as well-formed as a value that is
    /// read.
    pub(super) fn skip(&mut self, open: u32) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => {
                let at = self.at;
                self.string().and_then(|bytes| text(bytes, at)).map(drop)
            }
            Some(_) if self.nests(open)? => Ok(()),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ if ["true", "false", "null"].into_iter().any(|word| self.word(word)) => Ok(()),
            _ => Err(self.malformed("a value")),
        }
    }

    /// Skips an object or an array, if one is next.
    fn nests(&mut self, open: u32) -> Result<bool, Malformed> {
        let Some(bracket @ (b'{' | b'[')) = self.peek() else { return Ok(false) };
        if open >= MAX_DEPTH {
            return Err(self.malformed("less nesting"));
        }
        self.at += 1;
        let mut first = true;
        // In ASCII, `}` and `]` are two after `{` and `[`.
        while self.element(first, bracket + 2)? {
            first = false;
            if bracket == b'{' {
                self.key()?;
            }
            self.skip(open + 1)?;
        }
        Ok(true)
    }

    /// Checks that only whitespace follows.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        self.peek().map_or(Ok(()), |_| Err(self.malformed("the end")))
    }
}

/// Converts bytes that must be UTF-8.
pub(super) fn text(bytes: Cow<'_, [u8]>, at: usize) -> Result<Cow<'_, str>, Malformed> {
    let malformed = Malformed { expected: "UTF-8", at };
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| malformed),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| malformed),
    }
}
