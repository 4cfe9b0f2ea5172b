//! The paper preset gives the numbers of the reference implementation: weights and inputs come
//! from a formula, expected numbers from `../shared/fixtures` (`DESTSEG_SHARED` names another
//! folder). Where that is absent the tests say that they skipped.

mod checkpoint;
mod forward;
mod gpu;
mod momenta;
mod patchcore;
mod reference;
mod stpm;
mod training;

#[path = "../support/arrays.rs"]
mod arrays;
#[path = "../support/formula.rs"]
mod formula;
#[path = "../support/torch.rs"]
mod torch;

use destseg_engine::backend::device::{self, BackendChoice, Device};

/// The first GPU, opened once for all tests; none where there is none, which is said.
async fn gpu() -> Option<Device> {
    static GPU: tokio::sync::OnceCell<Option<Device>> = tokio::sync::OnceCell::const_new();
    let open = || async {
        match device::select(BackendChoice::Webgpu).await {
            Ok(gpu) => {
                println!("on {}", gpu.info.adapter);
                Some(gpu.device)
            }
            Err(reason) => {
                println!("skipped: {reason}");
                None
            }
        }
    };
    GPU.get_or_init(open).await.clone()
}
