//! The paper preset gives the numbers of the reference implementation: weights and inputs come
//! from a formula, expected numbers from `../shared/fixtures` (`DESTSEG_SHARED` names another
//! folder). Where that is absent the tests say that they skipped.

mod checkpoint;
mod forward;
mod gpu;
mod patchcore;
mod reference;
mod stpm;
mod training;

#[path = "../support/formula.rs"]
mod formula;
#[path = "../support/momenta.rs"]
mod momenta;
#[path = "../support/torch.rs"]
mod torch;
