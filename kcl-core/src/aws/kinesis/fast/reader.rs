//! Reads JSON values for the SDK's shapes.
//!
//! It reads records and their metadata to the same values as the SDK's parser, and rejects types
//! that they never contain (documents, big numbers, dates as strings). It finds the end of a
//! payload with SIMD and decodes it in place; the SDK's parser examines it byte by byte and copies
//! it before decoding.

use super::cursor::{Cursor, Malformed, text};
use super::parser_fallback::ParserFallback;
use aws_smithy_schema::Schema;
use aws_smithy_schema::serde::{SerdeError, ShapeDeserializer};
use aws_smithy_schema::traits::TimestampFormat;
use aws_smithy_types::{BigDecimal, BigInteger, Blob, DateTime, Document};

type ReadMember<'f> = &'f mut dyn FnMut(&Schema<'_>, &mut dyn ShapeDeserializer) -> Result<(), SerdeError>;
type ReadElement<'f> = &'f mut dyn FnMut(&mut dyn ShapeDeserializer) -> Result<(), SerdeError>;
type ReadEntry<'f> = &'f mut dyn FnMut(String, &mut dyn ShapeDeserializer) -> Result<(), SerdeError>;

#[derive(Debug)]
pub(super) struct Reader<'a> {
    cursor: Cursor<'a>,
    depth: u32,
    fallback: ParserFallback,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a [u8], fallback: ParserFallback) -> Self {
        Reader { cursor: Cursor::new(text), depth: 0, fallback }
    }

    fn checked<T>(&self, read: Result<T, Malformed>) -> Result<T, SerdeError> {
        read.map_err(|malformed| self.fallback.activate(SerdeError::invalid_input(malformed.to_string())))
    }

    fn refuse<T>(&self, what: &'static str) -> Result<T, SerdeError> {
        Err(self.fallback.activate(SerdeError::unsupported(what)))
    }

    fn open(&mut self, open: u8, expected: &'static str) -> Result<(), SerdeError> {
        let opened = self.cursor.take(open, expected);
        self.checked(opened)?;
        self.depth += 1;
        Ok(())
    }

    fn has_element(&mut self, first: bool, close: u8) -> Result<bool, SerdeError> {
        let element = self.cursor.element(first, close);
        let is_there = self.checked(element)?;
        if !is_there {
            self.depth -= 1;
            if self.depth == 0 {
                let end = self.cursor.end();
                self.checked(end)?;
            }
        }
        Ok(is_there)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, SerdeError> {
        let number = self.cursor.number();
        let malformed = self.cursor.malformed("a number of the kind that belongs there");
        self.checked(number.and_then(|number| number.parse().map_err(|_| malformed)))
    }
}

impl ShapeDeserializer for Reader<'_> {
    fn read_struct(&mut self, schema: &Schema<'_>, read_member: ReadMember<'_>) -> Result<(), SerdeError> {
        if self.depth == 0 && self.cursor.peek().is_none() {
            return Ok(());
        }
        self.open(b'{', "an object")?;
        let mut first = true;
        while self.has_element(first, b'}')? {
            first = false;
            let key = self.cursor.key();
            let key = self.checked(key)?;
            match schema.member_schema(&key) {
                _ if self.cursor.word("null") => {}
                Some(member) => read_member(member, self)?,
                None => {
                    let skipped = self.cursor.skip(self.depth);
                    self.checked(skipped)?;
                }
            }
        }
        Ok(())
    }

    fn read_list(&mut self, _: &Schema<'_>, read_element: ReadElement<'_>) -> Result<(), SerdeError> {
        self.open(b'[', "an array")?;
        let mut first = true;
        while self.has_element(first, b']')? {
            first = false;
            read_element(self)?;
        }
        Ok(())
    }

    fn read_map(&mut self, _: &Schema<'_>, read_entry: ReadEntry<'_>) -> Result<(), SerdeError> {
        self.open(b'{', "an object")?;
        let mut first = true;
        while self.has_element(first, b'}')? {
            first = false;
            let key = self.cursor.key();
            let key = self.checked(key)?;
            read_entry(key.into_owned(), self)?;
        }
        Ok(())
    }

    fn read_boolean(&mut self, _: &Schema<'_>) -> Result<bool, SerdeError> {
        if self.cursor.word("true") {
            return Ok(true);
        }
        let is_false = self.cursor.word("false").then_some(false);
        self.checked(is_false.ok_or_else(|| self.cursor.malformed("`true` or `false`")))
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
        self.checked(read).map(std::borrow::Cow::into_owned)
    }

    fn read_blob(&mut self, _: &Schema<'_>) -> Result<Blob, SerdeError> {
        let malformed = self.cursor.malformed("base64");
        let encoded = self.cursor.string();
        let encoded = self.checked(encoded)?;
        self.checked(base64_simd::STANDARD.decode_to_vec(&*encoded).map_err(|_| malformed)).map(Blob::new)
    }

    fn read_timestamp(&mut self, schema: &Schema<'_>) -> Result<DateTime, SerdeError> {
        if schema.timestamp_format().is_some_and(|format| format.format() != TimestampFormat::EpochSeconds) {
            return self.refuse("a date as a text");
        }
        let malformed = self.cursor.malformed("seconds since 1970");
        let number = self.cursor.number();
        let number = self.checked(number)?;
        let read = if number.contains(['.', 'e', 'E']) {
            number.parse().ok().map(DateTime::from_secs_f64)
        } else {
            number.parse().ok().map(DateTime::from_secs)
        };
        self.checked(read.ok_or(malformed))
    }

    fn read_document(&mut self, _: &Schema<'_>) -> Result<Document, SerdeError> {
        self.refuse("a document")
    }

    fn is_null(&self) -> bool {
        // `read_struct` skips null members before their value is read.
        false
    }

    fn skip_value(&mut self) -> Result<(), SerdeError> {
        let skipped = self.cursor.skip(self.depth);
        self.checked(skipped)
    }

    fn container_size(&self) -> Option<usize> {
        None
    }
}
