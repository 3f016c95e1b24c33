//! Arithmetic on sequence numbers as clients see them: decimal strings of more than 128 bits.

/// The low 128 bits.
pub(crate) fn low_bits(number: &str) -> u128 {
    number.bytes().fold(0, |bits: u128, digit| bits.wrapping_mul(10).wrapping_add(u128::from(digit - b'0')))
}

/// `number` plus `addend`.
pub(crate) fn add(number: &str, mut addend: u128) -> String {
    let mut digits: Vec<u8> = number.bytes().collect();
    for digit in digits.iter_mut().rev() {
        let sum = u128::from(*digit - b'0') + addend % 10;
        addend = addend / 10 + sum / 10;
        *digit = b'0' + u8::try_from(sum % 10).unwrap();
    }
    assert_eq!(addend, 0, "the sum has more digits");
    String::from_utf8(digits).unwrap()
}

/// True if `a` is less than `b`, as numbers.
pub(crate) fn less(a: &str, b: &str) -> bool {
    (a.len(), a) < (b.len(), b)
}

#[test]
fn numbers_are_added_and_compared() {
    assert_eq!(add("0999", 1), "1000");
    assert_eq!(
        add("4959033827149025660855969253836157109592157598913", 1 << 80),
        "4959033827149025660855970462761976724221332305089"
    );
    assert!(less("9", "10") && less("10", "11") && !less("11", "11"));
    assert_eq!(low_bits("340282366920938463463374607431768211456"), 0);
}
