//! (being written)
use super::scene::Surface;
use rand_pcg::Pcg64;
pub(super) const DEFECTS: &[&str] = &[];
pub(super) fn surface(size: usize, _layout: &mut Pcg64, _defect: Option<(&str, &mut Pcg64)>) -> Surface {
    Surface::flat(size, [0.5; 3])
}
