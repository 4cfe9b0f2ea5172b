//! Numbers as visitors read them.

/// A score or map value with three significant digits at most: `0.83`, `0.042`, `1.5`.
pub(crate) fn value(value: f32) -> String {
    let decimals = match value.abs() {
        v if v >= 0.095 || v == 0.0 => 2,
        v if v >= 0.0095 => 3,
        v if v >= 0.00095 => 4,
        _ => return format!("{value:.0e}"),
    };
    format!("{value:.decimals$}")
}

/// Bytes in megabytes: `17.9`.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

/// A time: `85 ms`, `1.24 s`.
pub(crate) fn time(milliseconds: f64) -> String {
    if milliseconds < 1000.0 {
        format!("{milliseconds:.0} ms")
    } else {
        format!("{:.2} s", milliseconds / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_keep_their_digits() {
        assert_eq!(
            [0.0, 0.834, 0.0421, 0.00421, 1.5].map(value),
            ["0.00", "0.83", "0.042", "0.0042", "1.50"]
        );
        assert_eq!(value(0.0999), "0.10");
        assert_eq!(value(0.000_03), "3e-5");
    }

    #[test]
    fn sizes_and_times_have_fitting_units() {
        assert_eq!(megabytes(17_912_000), "17.9");
        assert_eq!(time(84.6), "85 ms");
        assert_eq!(time(1240.0), "1.24 s");
    }
}
