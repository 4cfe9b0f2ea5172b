//! Whole numbers that flags take; the message names the bounds.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};
use std::str::FromStr;

/// Images, runs or pixels that a flag asks for at most.
pub(super) const MOST: usize = 100_000;

/// Reads a whole number in a range; the type must be that of the flag.
pub(super) fn whole<T: Display + FromStr + PartialOrd>(
    range: impl RangeBounds<T> + Clone,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    let wanted = match (range.start_bound(), range.end_bound()) {
        (Bound::Included(least), Bound::Included(most)) => {
            format!("give a whole number from {least} to {most}")
        }
        (Bound::Included(least), _) => format!("give a whole number from {least} on"),
        _ => "give a whole number".to_owned(),
    };
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| wanted.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_bounds() {
        let between = whole(1..=MOST);
        assert_eq!((between("1"), between("100000")), (Ok(1), Ok(MOST)));
        for text in ["0", "100001", "-1", "1.5", "", "99999999999999999999999"] {
            assert_eq!(
                between(text),
                Err("give a whole number from 1 to 100000".into()),
                "{text}"
            );
        }
        assert_eq!(whole(2_u64..)("-2"), Err("give a whole number from 2 on".into()));
    }
}
