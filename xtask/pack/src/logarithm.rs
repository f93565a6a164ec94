//! Logarithms to base 2 that are the same on every machine: what a library answers may differ in the last bit, and with it the
//! image that a source becomes.

use std::sync::LazyLock;

/// Bits behind the point.
const BITS: u32 = 40;

/// The logarithm of a number that is 1 at least.
pub fn log2(number: f64) -> f64 {
    let (mut number, mut whole) = (number, 0.0);
    while number >= 2.0 {
        number /= 2.0;
        whole += 1.0;
    }
    let (mut part, mut sum) = (0.5, whole);
    for _ in 0..BITS {
        number *= number;
        if number >= 2.0 {
            number /= 2.0;
            sum += part;
        }
        part /= 2.0;
    }
    sum
}

/// The logarithm of a count; 0 of none.
pub fn of(count: u32) -> f64 {
    const SMALL: u32 = 4096;
    static TABLE: LazyLock<Vec<f64>> =
        LazyLock::new(|| (0..SMALL).map(|count| log2(f64::from(count))).collect());
    TABLE.get(count as usize).copied().unwrap_or_else(|| log2(f64::from(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_logarithm() {
        for number in [1.0, 1.5, 2.0, 3.0, 1000.0, 4096.0, 65_537.0] {
            assert!((log2(number) - number.log2()).abs() < 1e-9, "{number}");
        }
        assert_eq!([0, 1, 2, 4096].map(of), [0.0, 0.0, 1.0, 12.0]);
    }
}
