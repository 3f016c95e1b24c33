//! What a request's input is read from: a body in one of the two encodings of the protocol.

use serde::de::DeserializeOwned;

/// The body of a request. An encoding knows its own reader; the model knows which type to read.
pub trait Body {
    /// Reads all of the body as a `T`.
    ///
    /// # Errors
    /// Why the body is no `T`, for the caller of the API.
    fn read<T: DeserializeOwned>(self) -> Result<T, String>;
}

/// A body in JSON. An empty one is an empty object.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(pub &'a [u8]);

impl Body for Json<'_> {
    fn read<T: DeserializeOwned>(self) -> Result<T, String> {
        let body = if self.0.is_empty() { b"{}" } else { self.0 };
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }
}

/// A body in CBOR. An empty one is an empty map.
#[derive(Clone, Copy, Debug)]
pub struct Cbor<'a>(pub &'a [u8]);

impl Body for Cbor<'_> {
    fn read<T: DeserializeOwned>(self) -> Result<T, String> {
        let body: &[u8] = if self.0.is_empty() { &[0xa0] } else { self.0 };
        ciborium::from_reader(body).map_err(|error| error.to_string())
    }
}
