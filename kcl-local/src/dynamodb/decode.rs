//! Decodes the input of a DynamoDB operation, and selects DynamoDB's error for an invalid input.

use dynoxide::DynoxideError;
use serde::de::DeserializeOwned;

pub(super) fn decode<T: DeserializeOwned>(operation: &str, body: &[u8]) -> Result<T, DynoxideError> {
    serde_json::from_slice(body).map_err(|error| refusal(operation, &error.to_string()))
}

/// dynoxide's deserializers mark the kind of error in the text; serde appends the position in the
/// body.
fn refusal(operation: &str, text: &str) -> DynoxideError {
    type Kind = fn(String) -> DynoxideError;
    let marks: [(&str, Kind); 5] = [
        ("VALIDATION:", DynoxideError::ValidationException),
        ("VALIDATION_AS_READ:", DynoxideError::ValidationException),
        ("SERIALIZATION:", DynoxideError::SerializationException),
        ("SERIALIZATION_AS_READ:", DynoxideError::SerializationException),
        ("VALIDATION_REQUEST:", DynoxideError::EnvelopedValidation),
    ];
    let without_position = text.rsplit_once(" at line ").map_or(text, |(message, _)| message);
    if let Some((rest, kind)) = marks.iter().find_map(|(mark, kind)| Some((without_position.strip_prefix(mark)?, kind)))
    {
        let enveloped = text.starts_with("VALIDATION_REQUEST:") && ENVELOPED.contains(&operation);
        let envelope = if enveloped { "1 validation error detected: " } else { "" };
        return kind(format!("{envelope}{rest}"));
    }
    let about_values = ["missing field", "unknown variant", "invalid type: null", "AttributeValue"];
    if about_values.iter().any(|start| without_position.contains(start)) {
        DynoxideError::ValidationException(without_position.to_owned())
    } else {
        DynoxideError::SerializationException(without_position.to_owned())
    }
}

/// The operations whose validation errors begin with a count.
const ENVELOPED: [&str; 3] = ["PutItem", "UpdateItem", "DeleteItem"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_select_the_error_and_are_removed() {
        let error = refusal("PutItem", "VALIDATION_REQUEST:bad number at line 1 column 9");
        assert_eq!(error.to_string(), "1 validation error detected: bad number");
        let error = refusal("Query", "VALIDATION_REQUEST:bad number at line 1 column 9");
        assert_eq!(error.to_string(), "bad number");
        let error = refusal("Query", "SERIALIZATION:NUMBER_VALUE cannot be converted to String at line 1 column 2");
        assert!(matches!(error, DynoxideError::SerializationException(_)), "{error:?}");
        assert_eq!(error.to_string(), "NUMBER_VALUE cannot be converted to String");
    }

    #[test]
    fn texts_without_a_mark_are_classified_by_content() {
        let missing = refusal("Query", "missing field `TableName` at line 1 column 2");
        assert!(matches!(missing, DynoxideError::ValidationException(_)));
        let wrong = refusal("Query", "invalid type: integer `1`, expected a string at line 1 column 2");
        assert!(matches!(wrong, DynoxideError::SerializationException(_)));
    }
}
