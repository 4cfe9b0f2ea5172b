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

/// Much memory: `450 MB`, `1.9 GB`.
pub(crate) fn memory(bytes: u64) -> String {
    match bytes {
        b if b < 1_000_000_000 => format!("{:.0} MB", b as f64 / 1e6),
        b => format!("{:.1} GB", b as f64 / 1e9),
    }
}

/// A time: `85 ms`, `1.24 s`.
pub(crate) fn time(milliseconds: f64) -> String {
    if milliseconds < 1000.0 {
        format!("{milliseconds:.0} ms")
    } else {
        format!("{:.2} s", milliseconds / 1000.0)
    }
}

/// A longer time: `40 s`, `12 min`, `1.5 h`.
pub(crate) fn duration(milliseconds: f64) -> String {
    let seconds = milliseconds / 1000.0;
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// Width and height in pixels: `640 × 480`.
pub(crate) fn size(width: u32, height: u32) -> String {
    format!("{width} × {height}")
}

/// A day and a time, as the browser writes them.
pub(crate) fn date(milliseconds: f64) -> String {
    let date = js_sys::Date::new(&milliseconds.into());
    let text: String = date.to_locale_string("default", &js_sys::Object::new()).into();
    text
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
        assert_eq!(
            [40_000.0, 720_000.0, 5_400_000.0].map(duration),
            ["40 s", "12 min", "1.5 h"]
        );
    }
}
