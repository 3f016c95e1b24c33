//! Positions as the table keeps them.

use kcl_core::record::{Position, SequenceNumber};

/// What a row says: digits, and the number within an aggregated record. `None` before the first record.
pub(crate) fn read(digits: Option<String>, sub_sequence_number: Option<i64>) -> Result<Option<Position>, String> {
    let Some(digits) = digits else { return Ok(None) };
    let sequence_number = SequenceNumber::parse(digits).map_err(|error| error.to_string())?;
    let sub = sub_sequence_number.unwrap_or(0);
    let sub_sequence_number = u64::try_from(sub).map_err(|_| format!("`sub_sequence_number` is {sub}: below zero"))?;
    Ok(Some(Position { sequence_number, sub_sequence_number }))
}

/// A number as a BIGINT, if it is one. A larger one is never rounded: two owners would have equal tokens.
pub(crate) fn sql(number: u64) -> Option<i64> {
    i64::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_position_is_told() {
        assert_eq!(read(None, None), Ok(None));
        assert!(read(Some("007".to_owned()), None).is_err());
        assert!(read(Some("7".to_owned()), Some(-1)).unwrap_err().contains("below zero"));
        assert_eq!(read(Some("7".to_owned()), Some(2)).unwrap().unwrap().sub_sequence_number, 2);
    }

    #[test]
    fn a_number_above_a_bigint_is_none() {
        assert_eq!(sql(i64::MAX as u64), Some(i64::MAX));
        assert_eq!(sql(i64::MAX as u64 + 1), None);
        assert_eq!(sql(u64::MAX), None);
    }
}
