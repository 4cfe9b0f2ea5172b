//! A step of `AdamW` as one kernel: as operations of Burn it takes a dozen starts for each parameter.

use burn::cubecl;
use burn::cubecl::prelude::*;
use burn::tensor::Tensor;

use crate::backend::burn::gpu::{GROUP, buffer, empty, groups, is_ours};
use crate::backend::optimiser::{AdamW, EPSILON};

/// From values, gradients, their means and the means of their squares to new values and means; none on other devices than GPUs.
pub(super) fn step(parameters: AdamW, from: &[Tensor<1>; 4]) -> Option<[Tensor<1>; 3]> {
    if !from.iter().all(is_ours) {
        return None;
    }
    let [value, gradient, first, squares] = from;
    let [len] = value.dims();
    let device = value.device();
    let to = [(); 3].map(|()| empty(len, &device));
    let [new_value, new_first, new_squares] = &to;
    let inputs = [value, gradient, first, squares].map(buffer);
    if inputs
        .iter()
        .any(|input| input.as_ref().is_none_or(|input| !input.is_contiguous()))
    {
        return None;
    }
    let [value, gradient, first, squares] = inputs;
    let value = value?;
    let client = value.client.clone();
    adamw::launch(
        &client,
        groups(len),
        CubeDim::new_1d(GROUP),
        value.into_buffer_arg(),
        gradient?.into_buffer_arg(),
        first?.into_buffer_arg(),
        squares?.into_buffer_arg(),
        buffer(new_value)?.into_buffer_arg(),
        buffer(new_first)?.into_buffer_arg(),
        buffer(new_squares)?.into_buffer_arg(),
        ParametersLaunch::new(
            parameters.rate,
            parameters.momentum,
            parameters.squares_kept,
            parameters.lacking_squares,
            parameters.kept,
            len as u32,
        ),
    );
    Some(to)
}

#[derive(CubeLaunch, CubeType)]
struct Parameters {
    rate: f32,
    momentum: f32,
    squares_kept: f32,
    lacking_squares: f32,
    kept: f32,
    len: u32,
}

/// One number per invocation.
#[cube(launch)]
fn adamw(
    value: &[f32],
    gradient: &[f32],
    first: &[f32],
    squares: &[f32],
    new_value: &mut [f32],
    new_first: &mut [f32],
    new_squares: &mut [f32],
    parameters: Parameters,
) {
    let id = ABSOLUTE_POS as u32;
    if id < parameters.len {
        let at = id as usize;
        let grad = gradient[at];
        let mean = parameters.momentum * first[at] + (1.0 - parameters.momentum) * grad;
        let square = parameters.squares_kept * squares[at] + (1.0 - parameters.squares_kept) * grad * grad;
        let spread = (square / parameters.lacking_squares).sqrt() + EPSILON;
        new_value[at] = parameters.kept * value[at] - parameters.rate * mean / spread;
        new_first[at] = mean;
        new_squares[at] = square;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::burn::gpu::GPU;

    #[test]
    fn the_kernel_takes_the_step_of_burns_operations() {
        let Some(gpu) = &*GPU else { return };
        let cpu = burn::tensor::Device::flex();
        let numbers = |seed: usize| -> Vec<f32> {
            (0..1000)
                .map(|i| ((i + seed) * 7919 % 2017) as f32 / 1008.5 - 1.0)
                .collect()
        };
        let squares: Vec<f32> = numbers(4).iter().map(|value| value * value).collect();
        let parameters = AdamW {
            rate: 0.02,
            momentum: 0.9,
            squares_kept: 0.99,
            lacking_squares: 0.3,
            kept: 0.99,
        };
        let [ours, burns] = [gpu, &cpu].map(|device| {
            let all = [&numbers(1), &numbers(2), &numbers(3), &squares];
            crate::backend::burn::optimiser::adamw(
                parameters,
                all.map(|values| Tensor::from_floats(&values[..], device)),
            )
        });
        for (ours, burns) in ours.into_iter().zip(burns) {
            let [ours, burns] =
                [ours, burns].map(|tensor| tensor.into_data().try_to_vec::<f32>().expect("reads"));
            assert!(ours.iter().zip(&burns).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}
