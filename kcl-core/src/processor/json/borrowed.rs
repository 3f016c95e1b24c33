//! Decodes JSON into types that borrow their strings from the record, even if a string contains
//! escapes.
//!
//! A JSON string with an escape (`"U\"A"`) has to be unescaped into memory of its own, so serde
//! refuses to borrow it for a `&str` field ("expected a borrowed string"). Only then is the record
//! decoded a second time, by a deserializer that stores each unescaped string for as long as the
//! batch lives, and lends it.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;

/// Stores unescaped strings in a list that only grows, so that its strings can be borrowed while
/// more are added.
#[derive(Debug, Default)]
pub struct Unescaped {
    first: OnceLock<Box<Kept>>,
}

#[derive(Debug)]
struct Kept {
    text: Box<str>,
    next: OnceLock<Box<Kept>>,
}

impl Unescaped {
    pub(super) fn texts(&self) -> Texts<'_> {
        Texts(Cell::new(&self.first))
    }
}

impl Drop for Unescaped {
    /// Drops the entries in a loop. The derived recursive drop would need stack in proportion to
    /// the list's length.
    fn drop(&mut self) {
        let mut next = self.first.take();
        while let Some(mut kept) = next {
            next = kept.next.take();
        }
    }
}

/// The end of the list, where the next string is added.
#[derive(Debug)]
pub(super) struct Texts<'a>(Cell<&'a OnceLock<Box<Kept>>>);

impl<'a> Texts<'a> {
    fn keep(&self, text: &str) -> &'a str {
        let kept = self.0.get().get_or_init(|| Box::new(Kept { text: text.into(), next: OnceLock::new() }));
        self.0.set(&kept.next);
        &kept.text
    }
}

/// Decodes one record.
pub(super) fn from_slice<'de, T: Deserialize<'de>>(
    data: &'de [u8],
    texts: &Texts<'de>,
) -> Result<T, serde_json::Error> {
    match serde_json::from_slice(data) {
        Err(error) if error.is_data() && error.to_string().contains("expected a borrowed ") => {
            let mut deserializer = serde_json::Deserializer::from_slice(data);
            let value = T::deserialize(Keeping { inner: &mut deserializer, texts })?;
            deserializer.end()?;
            Ok(value)
        }
        decoded => decoded,
    }
}

/// Wraps any of serde's traits. Forwards every call, and passes strings that could not be borrowed
/// as borrowed ones.
struct Keeping<'s, 'de, I> {
    inner: I,
    texts: &'s Texts<'de>,
}

impl<'s, 'de, I> Keeping<'s, 'de, I> {
    fn with<J>(&self, inner: J) -> Keeping<'s, 'de, J> {
        Keeping { inner, texts: self.texts }
    }
}

macro_rules! forward_deserialize {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.with(visitor);
            self.inner.$method($($argument,)* visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Keeping<'_, 'de, D> {
    type Error = D::Error;

    forward_deserialize! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! forward_visit {
    ($($method:ident: $type:ty;)*) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Keeping<'_, 'de, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    forward_visit! {
        visit_bool: bool;
        visit_i8: i8;
        visit_i16: i16;
        visit_i32: i32;
        visit_i64: i64;
        visit_i128: i128;
        visit_u8: u8;
        visit_u16: u16;
        visit_u32: u32;
        visit_u64: u64;
        visit_u128: u128;
        visit_f32: f32;
        visit_f64: f64;
        visit_char: char;
        visit_string: String;
        visit_borrowed_str: &'de str;
        visit_byte_buf: Vec<u8>;
        visit_borrowed_bytes: &'de [u8];
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        let text = self.texts.keep(text);
        self.inner.visit_borrowed_str(text)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<V::Value, E> {
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let text = self.texts.keep(text);
                self.inner.visit_borrowed_bytes(text.as_bytes())
            }
            Err(_) => self.inner.visit_bytes(bytes),
        }
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.inner.visit_some(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.inner.visit_newtype_struct(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let access = self.with(access);
        self.inner.visit_seq(access)
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let access = self.with(access);
        self.inner.visit_map(access)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let access = self.with(access);
        self.inner.visit_enum(access)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Keeping<'_, 'de, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.inner.deserialize(deserializer)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Keeping<'_, 'de, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.with(seed);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Keeping<'_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.with(seed);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'s, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Keeping<'s, 'de, A> {
    type Error = A::Error;
    type Variant = Keeping<'s, 'de, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (seed, texts) = (self.with(seed), self.texts);
        let (value, inner) = self.inner.variant_seed(seed)?;
        Ok((value, Keeping { inner, texts }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Keeping<'_, 'de, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Part<'a> {
        Unit,
        Text(&'a str),
        Pair(&'a str, u8),
        Named { text: &'a str, count: i64 },
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct All<'a> {
        text: &'a str,
        maybe: Option<&'a str>,
        none: Option<&'a str>,
        list: Vec<&'a str>,
        #[serde(borrow)]
        map: BTreeMap<&'a str, (&'a str, f64)>,
        #[serde(borrow)]
        parts: Vec<Part<'a>>,
        owned: String,
        truth: bool,
    }

    fn payload(mark: &str) -> String {
        let text = format!(r#""a{mark}b""#);
        format!(
            r#"{{"text":{text},"maybe":{text},"none":null,"list":[{text},"plain"],"map":{{{text}:[{text},1.5]}},"parts":["unit",
            {{"text":{text}}},{{"pair":[{text},7]}},{{"named":{{"text":{text},"count":-3}}}}],"owned":{text},"truth":true,"x":[{text}]}}"#
        )
    }

    fn expected(text: &str) -> All<'_> {
        All {
            text,
            maybe: Some(text),
            none: None,
            list: vec![text, "plain"],
            map: BTreeMap::from([(text, (text, 1.5))]),
            parts: vec![Part::Unit, Part::Text(text), Part::Pair(text, 7), Part::Named { text, count: -3 }],
            owned: text.to_owned(),
            truth: true,
        }
    }

    #[test]
    fn strings_with_escapes_can_be_borrowed_anywhere() {
        for (mark, is) in [("-", "-"), ("\\\"", "\""), ("\\n", "\n"), ("\\u00e9", "é"), ("\\ud83d\\ude80", "🚀")] {
            let (unescaped, payload) = (Unescaped::default(), payload(mark));
            let decoded: All<'_> = from_slice(payload.as_bytes(), &unescaped.texts()).unwrap();
            assert_eq!(decoded, expected(&format!("a{is}b")));
        }
    }

    #[test]
    fn strings_without_escapes_borrow_from_the_record() {
        let (unescaped, payload) = (Unescaped::default(), br#"["plain"]"#);
        let [text]: [&str; 1] = from_slice(payload, &unescaped.texts()).unwrap();
        assert_eq!(text.as_ptr(), payload[2..].as_ptr());
        assert!(unescaped.first.get().is_none());
    }

    #[test]
    fn invalid_json_is_refused_by_the_second_decoding_too() {
        let unescaped = Unescaped::default();
        let texts = unescaped.texts();
        for wrong in [r#"["a\nb", 7]"#, r#"["a\nb"] x"#, r#"["a\nb""#, r#"["a\nb", "x", "y"]"#] {
            assert!(from_slice::<(&str, &str)>(wrong.as_bytes(), &texts).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_long_list_of_strings_is_dropped_without_a_deep_stack() {
        let unescaped = Unescaped::default();
        let texts = unescaped.texts();
        for _ in 0..200_000 {
            texts.keep("x");
        }
    }
}
