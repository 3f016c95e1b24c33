//! Values of JSON as the SDK's shapes ask for them.
//!
//! It reads what the SDK's own parser reads, to the same values, of records and what comes with them; what those never have
//! (documents, big numbers, dates as texts) it refuses. Payloads are searched for their end with SIMD and decoded from where
//! they stand; the SDK's parser goes over them byte by byte, and copies them before it decodes them.

use super::cursor::{Cursor, Malformed, text};
use super::doubt::Doubt;
use aws_smithy_schema::Schema;
use aws_smithy_schema::serde::{SerdeError, ShapeDeserializer};
use aws_smithy_schema::traits::TimestampFormat;
use aws_smithy_types::{BigDecimal, BigInteger, Blob, DateTime, Document};

type OfMember<'f> = &'f mut dyn FnMut(&Schema<'_>, &mut dyn ShapeDeserializer) -> Result<(), SerdeError>;
type OfElement<'f> = &'f mut dyn FnMut(&mut dyn ShapeDeserializer) -> Result<(), SerdeError>;
type OfEntry<'f> = &'f mut dyn FnMut(String, &mut dyn ShapeDeserializer) -> Result<(), SerdeError>;

#[derive(Debug)]
pub(super) struct Reader<'a> {
    cursor: Cursor<'a>,
    depth: u32,
    doubt: Doubt,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a [u8], doubt: Doubt) -> Self {
        Reader { cursor: Cursor::new(text), depth: 0, doubt }
    }

    fn known<T>(&self, read: Result<T, Malformed>) -> Result<T, SerdeError> {
        read.map_err(|malformed| self.doubt.raise(SerdeError::invalid_input(malformed.to_string())))
    }

    fn refuse<T>(&self, what: &'static str) -> Result<T, SerdeError> {
        Err(self.doubt.raise(SerdeError::unsupported(what)))
    }

    fn open(&mut self, open: u8, expected: &'static str) -> Result<(), SerdeError> {
        let opened = self.cursor.take(open, expected);
        self.known(opened)?;
        self.depth += 1;
        Ok(())
    }

    fn another(&mut self, first: bool, close: u8) -> Result<bool, SerdeError> {
        let element = self.cursor.element(first, close);
        let is_there = self.known(element)?;
        if !is_there {
            self.depth -= 1;
            if self.depth == 0 {
                let end = self.cursor.end();
                self.known(end)?;
            }
        }
        Ok(is_there)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, SerdeError> {
        let number = self.cursor.number();
        let malformed = self.cursor.malformed("a number of the kind that belongs there");
        self.known(number.and_then(|number| number.parse().map_err(|_| malformed)))
    }
}

impl ShapeDeserializer for Reader<'_> {
    fn read_struct(&mut self, schema: &Schema<'_>, of_member: OfMember<'_>) -> Result<(), SerdeError> {
        if self.depth == 0 && self.cursor.peek().is_none() {
            return Ok(());
        }
        self.open(b'{', "an object")?;
        let mut first = true;
        while self.another(first, b'}')? {
            first = false;
            let key = self.cursor.key();
            let key = self.known(key)?;
            match schema.member_schema(&key) {
                _ if self.cursor.word("null") => {}
                Some(member) => of_member(member, self)?,
                None => {
                    let skipped = self.cursor.skip(self.depth);
                    self.known(skipped)?;
                }
            }
        }
        Ok(())
    }

    fn read_list(&mut self, _: &Schema<'_>, of_element: OfElement<'_>) -> Result<(), SerdeError> {
        self.open(b'[', "an array")?;
        let mut first = true;
        while self.another(first, b']')? {
            first = false;
            of_element(self)?;
        }
        Ok(())
    }

    fn read_map(&mut self, _: &Schema<'_>, of_entry: OfEntry<'_>) -> Result<(), SerdeError> {
        self.open(b'{', "an object")?;
        let mut first = true;
        while self.another(first, b'}')? {
            first = false;
            let key = self.cursor.key();
            let key = self.known(key)?;
            of_entry(key.into_owned(), self)?;
        }
        Ok(())
    }

    fn read_boolean(&mut self, _: &Schema<'_>) -> Result<bool, SerdeError> {
        if self.cursor.word("true") {
            return Ok(true);
        }
        let is_false = self.cursor.word("false").then_some(false);
        self.known(is_false.ok_or_else(|| self.cursor.malformed("`true` or `false`")))
    }

    fn read_byte(&mut self, _: &Schema<'_>) -> Result<i8, SerdeError> {
        self.number()
    }

    fn read_short(&mut self, _: &Schema<'_>) -> Result<i16, SerdeError> {
        self.number()
    }

    fn read_integer(&mut self, _: &Schema<'_>) -> Result<i32, SerdeError> {
        self.number()
    }

    fn read_long(&mut self, _: &Schema<'_>) -> Result<i64, SerdeError> {
        self.number()
    }

    fn read_float(&mut self, _: &Schema<'_>) -> Result<f32, SerdeError> {
        self.number()
    }

    fn read_double(&mut self, _: &Schema<'_>) -> Result<f64, SerdeError> {
        self.number()
    }

    fn read_big_integer(&mut self, _: &Schema<'_>) -> Result<BigInteger, SerdeError> {
        self.refuse("a big integer")
    }

    fn read_big_decimal(&mut self, _: &Schema<'_>) -> Result<BigDecimal, SerdeError> {
        self.refuse("a big decimal")
    }

    fn read_string(&mut self, _: &Schema<'_>) -> Result<String, SerdeError> {
        let at = self.cursor.malformed("").at;
        let read = self.cursor.string().and_then(|bytes| text(bytes, at));
        self.known(read).map(std::borrow::Cow::into_owned)
    }

    fn read_blob(&mut self, _: &Schema<'_>) -> Result<Blob, SerdeError> {
        let malformed = self.cursor.malformed("base64");
        let encoded = self.cursor.string();
        let encoded = self.known(encoded)?;
        self.known(base64_simd::STANDARD.decode_to_vec(&*encoded).map_err(|_| malformed)).map(Blob::new)
    }

    fn read_timestamp(&mut self, schema: &Schema<'_>) -> Result<DateTime, SerdeError> {
        if schema.timestamp_format().is_some_and(|format| format.format() != TimestampFormat::EpochSeconds) {
            return self.refuse("a date as a text");
        }
        let malformed = self.cursor.malformed("seconds since 1970");
        let number = self.cursor.number();
        let number = self.known(number)?;
        let read = if number.contains(['.', 'e', 'E']) {
            number.parse().ok().map(DateTime::from_secs_f64)
        } else {
            number.parse().ok().map(DateTime::from_secs)
        };
        self.known(read.ok_or(malformed))
    }

    fn read_document(&mut self, _: &Schema<'_>) -> Result<Document, SerdeError> {
        self.refuse("a document")
    }

    fn is_null(&self) -> bool {
        // A member that is null is passed before anybody is asked to read it.
        false
    }

    fn skip_value(&mut self) -> Result<(), SerdeError> {
        let skipped = self.cursor.skip(self.depth);
        self.known(skipped)
    }

    fn container_size(&self) -> Option<usize> {
        None
    }
}
