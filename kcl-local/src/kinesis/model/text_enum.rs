//! Enumerations that are text in the API.

/// An enumeration of the API.
pub(crate) trait TextEnum: Copy + Sized + 'static {
    /// Every value, in the order in which AWS lists them.
    const ALL: &'static [Self];

    /// The value as the API spells it.
    fn text(self) -> &'static str;
}

macro_rules! text_enum {
    ($(#[$doc:meta])* pub enum $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($variant),+ }

        impl $name {
            /// The value as the API spells it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl $crate::kinesis::model::TextEnum for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn text(self) -> &'static str {
                self.name()
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}

pub(crate) use text_enum;
