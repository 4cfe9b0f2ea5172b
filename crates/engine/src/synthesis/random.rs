//! Random numbers that are the same on every platform.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

/// A generator for tests, as the sampler of the training gives each sample one of its own.
#[cfg(test)]
pub(crate) fn sample_rng(seed: u64, step: u64, index: u64) -> Pcg64 {
    use rand_pcg::rand_core::SeedableRng as _;
    let mixed = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(step)
        .wrapping_mul(0xd1b5_4a32_d192_ed03)
        .wrapping_add(index)
        .wrapping_mul(0x8cb9_2ba7_2f3d_8dd7);
    Pcg64::seed_from_u64(mixed)
}

/// A number from [0, 1), with 53 random bits.
pub(crate) fn unit(rng: &mut Pcg64) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// A number from [low, high].
pub(crate) fn uniform(rng: &mut Pcg64, low: f32, high: f32) -> f32 {
    (f64::from(low) + unit(rng) * f64::from(high - low)) as f32
}

/// A number from [low, high], whose logarithm is uniform: small ones are as likely as large ones.
pub(crate) fn log_uniform(rng: &mut Pcg64, low: f32, high: f32) -> f32 {
    libm::expf(uniform(rng, libm::logf(low), libm::logf(high)))
}

/// A whole number from [0, count).
pub(crate) fn below(rng: &mut Pcg64, count: u32) -> u32 {
    // The bias of this multiplication is below 2^-32 of the count.
    ((u64::from(rng.next_u32()) * u64::from(count)) >> 32) as u32
}

/// 32 random bits.
pub(crate) fn bits(rng: &mut Pcg64) -> u32 {
    rng.next_u32()
}
