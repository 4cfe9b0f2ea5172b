//! A 3x3 convolution of a small image: `cargo run --release -p destseg-kernels --example convolve`.

use destseg_kernels::conv::Shape;
use destseg_kernels::dense::Dense;
use destseg_kernels::{Activation, Finish, Grid};

fn main() {
    let shape = Shape {
        inputs: 3,
        outputs: 4,
        kernel: 3,
        stride: 1,
        dilation: 1,
        padding: [1, 2],
    };
    let weights: Vec<f32> = (0..4 * 3 * 9).map(|i| (i % 7) as f32 / 7.0 - 0.5).collect();
    let conv = Dense::new(shape, 8, &weights, vec![0.0; 4]);
    let mut image = Grid::zeros(8, 8, 3);
    image
        .data
        .iter_mut()
        .enumerate()
        .for_each(|(i, value)| *value = (i % 5) as f32);
    let mut out = Grid::zeros(8, 8, 4);
    let finish = Finish {
        activation: Activation::Relu,
        ..Finish::default()
    };
    conv.run(&image, &mut out, finish);
    println!("{:?}", &out.data[..4]);
}
