//! What kernels of our own share on GPUs: how they are given tensors, and how many invocations are started.

#[cfg(test)]
use std::sync::LazyLock;

use burn::backend::Cube;
use burn::cubecl::prelude::CubeCount;
use burn::tensor::{DType, Tensor};

use burn::tensor::Device;

/// A tensor as kernels see it.
pub(crate) type Buffer = <Cube as burn::backend::BackendTypes>::FloatTensorPrimitive;

/// Invocations of a workgroup.
pub(crate) const GROUP: u32 = 64;

/// Whether our kernels take the tensor: 32 bits, on a GPU, without gradients.
pub(crate) fn is_ours<const D: usize>(tensor: &Tensor<D>) -> bool {
    let device = tensor.device();
    device != Device::flex() && !device.is_autodiff() && tensor.dtype() == DType::F32
}

/// What a tensor is on a GPU; none elsewhere.
pub(crate) fn buffer<const D: usize>(tensor: &Tensor<D>) -> Option<Buffer> {
    tensor.clone().try_into_primitive::<Cube>().ok()
}

/// A tensor to be written, all of it in a row.
pub(crate) fn empty(len: usize, device: &Device) -> Tensor<1> {
    Tensor::empty([len], device)
}

/// Workgroups for so many invocations: in two dimensions, because one has 65535 at most.
pub(crate) fn groups(invocations: usize) -> CubeCount {
    const ROW: u32 = 32768;
    let groups = (invocations as u32).div_ceil(GROUP).max(1);
    let columns = groups.min(ROW);
    CubeCount::Static(columns, groups.div_ceil(columns), 1)
}

/// The first graphics adapter, software too, opened once, for tests; none where there is none.
#[cfg(test)]
pub(crate) static GPU: LazyLock<Option<Device>> = LazyLock::new(|| {
    let choice = crate::backend::device::BackendChoice::Webgpu;
    match pollster::block_on(crate::backend::device::select(choice)) {
        Ok(selected) => match selected.device {
            crate::backend::device::Device::Burn(device) => Some(device),
            crate::backend::device::Device::Cpu => None,
        },
        Err(reason) => {
            eprintln!("only on the CPU: {reason}");
            None
        }
    }
});
