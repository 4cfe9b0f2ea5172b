//! Connected regions of a mask.

/// Region of a pixel that belongs to none.
pub(super) const NONE: u32 = u32::MAX;

/// Numbers the 8-connected regions of one image's mask from `first` on; `regions` receives the
/// number of each pixel or [`NONE`]. Returns the next free number.
pub(super) fn label(mask: &[bool], width: usize, first: u32, regions: &mut [u32]) -> u32 {
    regions.fill(NONE);
    let mut next = first;
    let mut open = Vec::new();
    for start in 0..mask.len() {
        if !mask[start] || regions[start] != NONE {
            continue;
        }
        regions[start] = next;
        open.push(start);
        while let Some(at) = open.pop() {
            let (x, y) = (at % width, at / width);
            let columns = x.saturating_sub(1)..=(x + 1).min(width - 1);
            let rows = y.saturating_sub(1)..=(y + 1).min(mask.len() / width - 1);
            for neighbour in rows.flat_map(|row| columns.clone().map(move |column| row * width + column)) {
                if mask[neighbour] && regions[neighbour] == NONE {
                    regions[neighbour] = next;
                    open.push(neighbour);
                }
            }
        }
        next += 1;
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagonals_connect_and_rows_do_not_wrap() {
        let picture = "#..#
                       .#..
                       ...#
                       #..#";
        let mask: Vec<bool> = picture
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| c == '#')
            .collect();
        let mut regions = vec![0; 16];
        assert_eq!(label(&mask, 4, 5, &mut regions), 9);
        const N: u32 = NONE;
        assert_eq!(regions, [5, N, N, 6, N, 5, N, N, N, N, N, 7, 8, N, N, 7]);
    }
}
