//! Bilinear upsampling as two matrix products, and on a GPU without gradients by a kernel of ours.
//!
//! Burn's `interpolate` has no gradient on GPU backends (0.22), so the one form that the student
//! trains through everywhere is written out: `A_h * image * A_w^T` with constant matrices. For inference its products take
//! longer to compile than all other kernels together, and Burn's kernel is compiled anew for each size.

use burn::tensor::{Device, Tensor, TensorData};

/// Bilinear resize of `[batch, channels, height, width]` to `[batch, channels, size, size]` with
/// half-pixel centres (PyTorch's `align_corners=False`).
pub(super) fn bilinear(image: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = image.dims();
    if [height, width] == size {
        return image;
    }
    if let Some(resized) = super::conv::bilinear(&image, size) {
        return resized;
    }
    resize(image, size, half_pixels)
}

/// The same with the centres of the corner pixels in place (`align_corners=True`).
pub(super) fn bilinear_of_pixels(image: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    resize(image, size, |at, input, output| {
        at as f32 * (input.max(2) - 1) as f32 / (output.max(2) - 1) as f32
    })
}

/// Where output `at` of so many lies among the inputs.
type Position = fn(usize, usize, usize) -> f32;

fn half_pixels(at: usize, input: usize, output: usize) -> f32 {
    ((at as f32 + 0.5) * (input as f32 / output as f32) - 0.5).max(0.0)
}

fn resize(image: Tensor<4>, size: [usize; 2], position: Position) -> Tensor<4> {
    let [batch, channels, height, width] = image.dims();
    let device = image.device();
    let rows = matrix(height, size[0], position, &device);
    let columns = matrix(width, size[1], position, &device).transpose();
    let wide = image.reshape([batch * channels * height, width]).matmul(columns);
    rows.unsqueeze::<3>()
        .matmul(wide.reshape([batch * channels, height, size[1]]))
        .reshape([batch, channels, size[0], size[1]])
}

/// The `[output, input]` matrix of interpolation weights along one axis; rows sum to 1.
fn matrix(input: usize, output: usize, position: Position, device: &Device) -> Tensor<2> {
    let mut weights = vec![0f32; output * input];
    for (i, row) in weights.chunks_exact_mut(input).enumerate() {
        let centre = position(i, input, output);
        let first = (centre as usize).min(input - 1);
        let share = centre - first as f32;
        row[first] += 1.0 - share;
        row[(first + 1).min(input - 1)] += share;
    }
    Tensor::from_data(TensorData::new(weights, [output, input]), device)
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::interpolate;
    use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
    use burn::tensor::{Distribution, Tolerance};

    use super::*;

    #[test]
    fn equals_burns_interpolate_forward_and_backward() {
        let device = Device::flex().autodiff();
        let image = Tensor::<4>::random([2, 3, 8, 5], Distribution::Default, &device).require_grad();
        let weight = Tensor::<4>::random([2, 3, 16, 20], Distribution::Default, &device);
        let options = InterpolateOptions::new(InterpolateMode::Bilinear)
            .with_align_corners(false)
            .with_output_size([16, 20]);

        let ours = bilinear(image.clone(), [16, 20]);
        let theirs = interpolate(image.clone(), options);
        ours.to_data()
            .assert_approx_eq::<f32>(&theirs.to_data(), Tolerance::absolute(1e-5));

        let gradient = |out: Tensor<4>| {
            let gradients = (out * weight.clone()).sum().backward();
            image
                .grad(&gradients)
                .expect("image requires a gradient")
                .into_data()
        };
        gradient(ours).assert_approx_eq::<f32>(&gradient(theirs), Tolerance::absolute(1e-4));
    }
}
