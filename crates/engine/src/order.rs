//! One sorting algorithm for all lists whose order is not worth more code: the standard library's is compiled again for every
//! type, about 5 kB each in the page's modules.

use std::cmp::Ordering;

/// Sorts by a comparison; what is equal stays in its order. For long lists of numbers `sort_by` of the standard library is
/// faster.
pub fn sort_by<T>(list: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) {
    let places = places(list.len(), &|a, b| compare(&list[a], &list[b]));
    let mut old: Vec<Option<T>> = std::mem::take(list).into_iter().map(Some).collect();
    list.extend(places.into_iter().filter_map(|place| old[place].take()));
}

/// The places of a list in the order of a comparison.
fn places(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_by(|&a, &b| compare(a, b));
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_the_standard_library(
            list in proptest::collection::vec((0_u8..4, any::<u8>()), 0..50)
        ) {
            let (mut own, mut expected) = (list.clone(), list);
            sort_by(&mut own, |a, b| a.0.cmp(&b.0));
            expected.sort_by_key(|pair| pair.0);
            prop_assert_eq!(own, expected);
        }
    }
}
