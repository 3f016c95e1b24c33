//! Converts between `SystemTime`, which the public interface uses, and milliseconds since the Unix
//! epoch, which Kinesis and the lease table use.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time `millis` after (or before) the Unix epoch; the epoch itself if the system's clock
/// cannot represent it.
pub(crate) fn system_time(millis: i64) -> SystemTime {
    let distance = Duration::from_millis(millis.unsigned_abs());
    let time = if millis < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

/// Whole milliseconds since the Unix epoch, rounded down as Kinesis does; negative before it.
pub(crate) fn unix_millis(time: SystemTime) -> i64 {
    let whole = |distance: Duration| i64::try_from(distance.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => whole(after),
        Err(before) => {
            let before = before.duration();
            let partial = before.subsec_nanos() % 1_000_000 > 0;
            -whole(before) - i64::from(partial)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_convert_to_system_time_and_back() {
        for millis in [0, 1, -1, -1_500, 1_767_225_600_123, i64::from(u32::MAX), -86_400_000] {
            assert_eq!(unix_millis(system_time(millis)), millis);
        }
    }

    #[test]
    fn a_fraction_of_a_millisecond_is_rounded_down() {
        let part = Duration::from_nanos(1);
        assert_eq!(unix_millis(system_time(7) + part), 7);
        assert_eq!(unix_millis(system_time(-7) + part), -7);
        assert_eq!(unix_millis(system_time(-7) - part), -8);
    }
}
