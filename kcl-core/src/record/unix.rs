//! Converts between `SystemTime`, which the interface speaks, and milliseconds since 1970, which Kinesis and the table speak.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time that lies `millis` after (or before) 1970; 1970 itself where the system's clock cannot represent it.
pub(crate) fn system_time(millis: i64) -> SystemTime {
    let distance = Duration::from_millis(millis.unsigned_abs());
    let time = if millis < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

/// Whole milliseconds since 1970, rounded down as Kinesis does; negative before it.
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
    fn milliseconds_survive_the_way_there_and_back() {
        for millis in [0, 1, -1, -1_500, 1_767_225_600_123, i64::from(u32::MAX), -86_400_000] {
            assert_eq!(unix_millis(system_time(millis)), millis);
        }
    }

    #[test]
    fn a_part_of_a_millisecond_is_rounded_down() {
        let part = Duration::from_nanos(1);
        assert_eq!(unix_millis(system_time(7) + part), 7);
        assert_eq!(unix_millis(system_time(-7) + part), -7);
        assert_eq!(unix_millis(system_time(-7) - part), -8);
    }
}
