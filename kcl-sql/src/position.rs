//! Converts positions and tokens between the types of kcl-core and the columns of the table.

use kcl_core::record::{Position, SequenceNumber};

/// Returns the position that a row stores, or `None` before the first record.
pub(crate) fn read(digits: Option<String>, sub_sequence_number: Option<i64>) -> Result<Option<Position>, String> {
    let Some(digits) = digits else { return Ok(None) };
    let sequence_number = SequenceNumber::parse(digits).map_err(|error| error.to_string())?;
    let sub = sub_sequence_number.unwrap_or(0);
    let sub_sequence_number =
        u64::try_from(sub).map_err(|_| format!("`sub_sequence_number` is {sub}, which is negative"))?;
    Ok(Some(Position { sequence_number, sub_sequence_number }))
}

/// Returns the number as a BIGINT if it fits. It is never rounded, because two owners of a lease
/// must not have equal tokens.
pub(crate) fn bigint(number: u64) -> Option<i64> {
    i64::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_position_is_an_error() {
        assert_eq!(read(None, None), Ok(None));
        assert!(read(Some("007".to_owned()), None).is_err());
        assert!(read(Some("7".to_owned()), Some(-1)).unwrap_err().contains("negative"));
        assert_eq!(read(Some("7".to_owned()), Some(2)).unwrap().unwrap().sub_sequence_number, 2);
    }

    #[test]
    fn a_number_that_does_not_fit_a_bigint_is_not_rounded() {
        assert_eq!(bigint(i64::MAX as u64), Some(i64::MAX));
        assert_eq!(bigint(i64::MAX as u64 + 1), None);
        assert_eq!(bigint(u64::MAX), None);
    }
}
