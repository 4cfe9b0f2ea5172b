//! Tensors' values from their device.

use burn::tensor::Tensor;

use crate::{Error, Result};

/// Copies many tensors' values from their device, in few journeys: each takes a browser milliseconds.
///
/// # Errors
/// As [`read`].
pub async fn read_all(tensors: Vec<Tensor<1>>) -> Result<Vec<Vec<f32>>> {
    /// Values that travel together, 16 MB: every device has room for them once more.
    const TOGETHER: usize = 1 << 22;
    let lengths: Vec<usize> = tensors.iter().map(|tensor| tensor.dims()[0]).collect();
    let mut values = Vec::with_capacity(tensors.len());
    let mut tensors = tensors.into_iter();
    let mut rest = lengths.as_slice();
    while let Some((&first, _)) = rest.split_first() {
        let mut sum = first;
        let more = rest[1..].iter().take_while(|&&length| {
            sum += length;
            sum <= TOGETHER
        });
        let (lengths, left) = rest.split_at(1 + more.count());
        rest = left;
        let together: Vec<Tensor<1>> = tensors.by_ref().take(lengths.len()).collect();
        let mut all = read(Tensor::cat(together, 0)).await?.into_iter();
        values.extend(
            lengths
                .iter()
                .map(|&length| all.by_ref().take(length).collect::<Vec<f32>>()),
        );
    }
    Ok(values)
}

/// Copies a tensor's values from its device, without blocking (a browser cannot).
///
/// # Errors
/// [`Error::Device`] if the device was lost.
pub async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let lost =
        || Error::Device("the compute device stopped answering, as after a crash of its driver".into());
    let data = tensor.into_data_async().await.map_err(|_| lost())?;
    data.try_into_vec::<f32>().map_err(|_| lost())
}
