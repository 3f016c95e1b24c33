//! Reads the input of a DynamoDB operation, and finds the error that DynamoDB yields for one that does not fit.

use dynoxide::DynoxideError;
use serde::de::DeserializeOwned;

pub(super) fn decode<T: DeserializeOwned>(operation: &str, body: &[u8]) -> Result<T, DynoxideError> {
    serde_json::from_slice(body).map_err(|error| refusal(operation, &error.to_string()))
}

/// The database's readers mark in the text which error they mean; serde adds where in the body it was.
fn refusal(operation: &str, text: &str) -> DynoxideError {
    type Kind = fn(String) -> DynoxideError;
    let marks: [(&str, Kind); 5] = [
        ("VALIDATION:", DynoxideError::ValidationException),
        ("VALIDATION_AS_READ:", DynoxideError::ValidationException),
        ("SERIALIZATION:", DynoxideError::SerializationException),
        ("SERIALIZATION_AS_READ:", DynoxideError::SerializationException),
        ("VALIDATION_REQUEST:", DynoxideError::EnvelopedValidation),
    ];
    let plain = text.rsplit_once(" at line ").map_or(text, |(plain, _)| plain);
    if let Some((rest, kind)) = marks.iter().find_map(|(mark, kind)| Some((plain.strip_prefix(mark)?, kind))) {
        let enveloped = text.starts_with("VALIDATION_REQUEST:") && ENVELOPED.contains(&operation);
        let envelope = if enveloped { "1 validation error detected: " } else { "" };
        return kind(format!("{envelope}{rest}"));
    }
    let about_values = ["missing field", "unknown variant", "invalid type: null", "AttributeValue"];
    if about_values.iter().any(|start| plain.contains(start)) {
        DynoxideError::ValidationException(plain.to_owned())
    } else {
        DynoxideError::SerializationException(plain.to_owned())
    }
}

/// The operations that put a count before what is wrong with a value.
const ENVELOPED: [&str; 3] = ["PutItem", "UpdateItem", "DeleteItem"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_choose_the_error_and_stay_off_the_wire() {
        let error = refusal("PutItem", "VALIDATION_REQUEST:bad number at line 1 column 9");
        assert_eq!(error.to_string(), "1 validation error detected: bad number");
        let error = refusal("Query", "VALIDATION_REQUEST:bad number at line 1 column 9");
        assert_eq!(error.to_string(), "bad number");
        let error = refusal("Query", "SERIALIZATION:NUMBER_VALUE cannot be converted to String at line 1 column 2");
        assert!(matches!(error, DynoxideError::SerializationException(_)), "{error:?}");
        assert_eq!(error.to_string(), "NUMBER_VALUE cannot be converted to String");
    }

    #[test]
    fn unmarked_texts_are_sorted_by_what_they_say() {
        let missing = refusal("Query", "missing field `TableName` at line 1 column 2");
        assert!(matches!(missing, DynoxideError::ValidationException(_)));
        let wrong = refusal("Query", "invalid type: integer `1`, expected a string at line 1 column 2");
        assert!(matches!(wrong, DynoxideError::SerializationException(_)));
    }
}
