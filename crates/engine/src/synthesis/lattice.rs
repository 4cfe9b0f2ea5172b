//! Random values on a lattice, from which the built-in textures are made. Only integer mixing and
//! basic `f32` arithmetic, so that every platform gets the same bits.

/// The largest whole number not above `value`; cheaper than `f32::floor` on plain x86-64.
pub(super) fn floor(value: f32) -> i32 {
    let whole = value as i32;
    whole - i32::from((whole as f32) > value)
}

/// A wave of period 2 between 0 and 1 without corners: the eased triangle.
pub(super) fn triangle(t: f32) -> f32 {
    let t = t / 2.0;
    let t = (2.0 * (t - floor(t) as f32) - 1.0).abs();
    ease(t)
}

/// Eases a share of 0..1 in and out.
pub(super) fn ease(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// A bijective scramble of 32 bits.
pub(super) fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x21f0_aaad);
    x ^= x >> 15;
    x = x.wrapping_mul(0x735a_2d97);
    x ^ (x >> 15)
}

/// Random bits that belong to a point of the lattice.
pub(super) fn hash(x: i32, y: i32, seed: u32) -> u32 {
    stir(along(x) ^ across(y, seed))
}

/// The part of [`hash`] that a column shares.
fn along(x: i32) -> u32 {
    (x as u32).wrapping_mul(0x9e37_79b1)
}

/// The part of [`hash`] that a row shares.
fn across(y: i32, seed: u32) -> u32 {
    (y as u32).wrapping_mul(0x85eb_ca77) ^ seed
}

/// A lighter [`mix`], enough for noise.
fn stir(mut x: u32) -> u32 {
    x ^= x >> 15;
    x = x.wrapping_mul(0x2c1b_3c6d);
    x ^ (x >> 13)
}

/// From random bits to [0, 1).
pub(super) fn fraction(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

/// Smooth random values in [0, 1) on a lattice of side 1.
pub(super) fn noise(x: f32, y: f32, seed: u32) -> f32 {
    let (left, top) = (floor(x), floor(y));
    let (fx, fy) = (ease(x - left as f32), ease(y - top as f32));
    let columns = [along(left), along(left + 1)];
    let row = |y: i32| {
        let row = across(y, seed);
        let [from, to] = columns.map(|column| fraction(stir(column ^ row)));
        from + fx * (to - from)
    };
    let (upper, lower) = (row(top), row(top + 1));
    upper + fy * (lower - upper)
}

/// Noise of three sizes, in [0, 1).
pub(super) fn turbulence(x: f32, y: f32, seed: u32) -> f32 {
    let octave = |frequency: f32, seed: u32| noise(frequency * x, frequency * y, seed);
    (4.0 * octave(1.0, seed) + 2.0 * octave(2.1, seed ^ 0x51ed) + octave(4.3, seed ^ 0xa3c5)) / 7.0
}

/// Distances to the nearest and second nearest of scattered points, one per lattice cell. Only
/// the four cells around are searched: a miss is rare and shows as a slightly broken edge.
pub(super) fn nearest_points(x: f32, y: f32, jitter: f32, seed: u32) -> (f32, f32) {
    let (left, top) = (floor(x - 0.5), floor(y - 0.5));
    let (mut near, mut second) = (f32::MAX, f32::MAX);
    for (column, row) in [(left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)] {
        let code = hash(column, row, seed);
        let dx = column as f32 + 0.5 + jitter * (fraction(code) - 0.5) - x;
        let dy = row as f32 + 0.5 + jitter * (fraction(mix(code)) - 0.5) - y;
        let distance = dx * dx + dy * dy;
        second = second.min(near.max(distance));
        near = near.min(distance);
    }
    (near.sqrt(), second.sqrt())
}
