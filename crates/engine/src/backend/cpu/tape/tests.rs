//! Gradients against finite differences, and the memory of earlier steps.

use std::sync::Arc;

use destseg_kernels::pool::Pool;
use destseg_kernels::{Activation, Grid};

use super::{Batch, Changes, Tape};
use crate::arch::graph::{Corners, Graph, Layer, Pool as Neighbourhoods, Value};
use crate::arch::weights::Weights;
use crate::arch::{self, narrow_before_resizing};
use crate::config::{ModelConfig, Preset};
use crate::test_support::{grid, randomised};

const IMAGES: u32 = 2;

fn batch(seed: u32, size: [usize; 3]) -> Batch {
    let grids: Vec<Grid> = (0..IMAGES).map(|image| grid(seed + 31 * image, size)).collect();
    grids.into()
}

/// The sum of all outputs, each value times a number of its own, and what it changes.
fn step(graph: &Graph, weights: &Weights, pool: &Arc<Pool>) -> (f64, Changes) {
    let mut tape = Tape::new(weights, pool);
    let inputs = graph.inputs().iter().enumerate();
    let inputs = inputs
        .map(|(i, &input)| batch(i as u32, graph.size(input)))
        .collect();
    let outputs = tape.run(graph, inputs).expect("runs");
    let mut loss = 0.0;
    let gradients = outputs.iter().enumerate().map(|(i, &output)| {
        let gradient = batch(100 + i as u32, tape.value(output).size());
        for (value, gradient) in tape.value(output).iter().zip(gradient.iter()) {
            let products = value.data.iter().zip(&gradient.data);
            loss += products.map(|(a, b)| f64::from(a * b)).sum::<f64>();
        }
        (output, gradient)
    });
    let gradients = gradients.collect();
    (loss, tape.backward(gradients))
}

/// Compares the derivative along every tensor's gradient with a finite difference.
fn agrees(what: &str, graph: &Graph, tolerance: f64) {
    let weights = randomised(graph);
    let pool = Arc::default();
    let (_, changes) = step(graph, &weights, &pool);
    for (name, gradient) in changes.gradients.iter() {
        let length = gradient.data.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
        assert!(length > 1e-3, "{what}: {name} has no gradient");
        let at = |distance: f64| {
            let mut moved = weights.clone();
            let array = moved.get_mut(name).expect("is there");
            for (value, gradient) in array.data.iter_mut().zip(&gradient.data) {
                *value += (distance / length * f64::from(*gradient)) as f32;
            }
            step(graph, &moved, &pool).0
        };
        const STEP: f64 = 1e-2;
        let derivative = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        let error = (derivative - length).abs() / length;
        assert!(
            error < tolerance,
            "{what}: along {name} {derivative} instead of {length}"
        );
    }
}

/// What is tested, between two convolutions.
type Middle<'a> = &'a dyn Fn(&mut Graph, Value) -> Value;

/// A graph of one convolution before and one after what is tested.
fn around(middle: impl Fn(&mut Graph, Value) -> Value) -> Graph {
    let mut graph = Graph::default();
    let x = graph.input([8, 8, 3]);
    let x = graph.conv(x, "before", Layer::dense(4, 3).bias());
    let x = middle(&mut graph, x);
    let x = graph.conv(x, "after", Layer::dense(2, 1));
    graph.with_outputs([x])
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let pool = Neighbourhoods {
        kernel: 2,
        stride: 2,
        padding: 0,
    };
    let smooth: [(&str, Middle<'_>); 9] = [
        ("stride", &|g, x| g.conv(x, "own", Layer::dense(5, 3).stride(2))),
        ("kernel 4", &|g, x| {
            g.conv(x, "own", Layer::dense(5, 4).stride(2).padding(1).bias())
        }),
        ("transposed", &|g, x| g.conv_transpose(x, "own", 5, [4, 2, 1])),
        ("batch norm", &|g, x| {
            g.batch_norm(x, "own.bn", Activation::Linear)
        }),
        ("instance norm", &|g, x| {
            let x = g.instance_norm(x);
            g.conv(x, "own", Layer::dense(5, 1))
        }),
        ("resize", &|g, x| g.resize(x, [13, 13], Corners::OfImage)),
        ("resize, corners in place", &|g, x| {
            g.resize(x, [13, 13], Corners::OfPixels)
        }),
        ("mean and expand", &|g, x| {
            let mean = g.mean(x);
            let mean = g.expand(mean, [8, 8]);
            g.concat(vec![x, mean])
        }),
        ("softmax", &|g, x| g.softmax(x)),
    ];
    for (what, middle) in smooth {
        let graph = around(middle);
        // a bias before a normalisation changes nothing
        if what.ends_with("norm") {
            let weights = randomised(&graph);
            let (_, changes) = step(&graph, &weights, &Arc::default());
            let bias = changes.gradients.get("before.bias").expect("is there");
            assert!(
                bias.data.iter().all(|g| g.abs() < 1e-3),
                "{what}: {:?}",
                bias.data
            );
            continue;
        }
        agrees(what, &graph, 2e-2);
    }
    // at their corners a finite difference sees both sides
    agrees(
        "activation",
        &around(|g, x| g.activation(x, Activation::Relu)),
        6e-2,
    );
    agrees("pooling", &around(|g, x| g.max_pool(x, pool)), 6e-2);
    agrees(
        "overlapping pooling",
        &around(|g, x| g.max_pool(x, Neighbourhoods::RESNET)),
        6e-2,
    );
}

#[test]
fn normalisations_have_the_gradients_of_finite_differences() {
    for batch_norm in [true, false] {
        let mut graph = Graph::default();
        let x = graph.input([6, 6, 3]);
        let x = graph.conv(x, "before", Layer::dense(4, 3));
        let x = match batch_norm {
            true => graph.batch_norm(x, "bn", Activation::Linear),
            false => graph.instance_norm(x),
        };
        let x = graph.conv(x, "after", Layer::dense(2, 3));
        agrees("norm", &graph.with_outputs([x]), 2e-2);
    }
}

#[test]
fn the_gradient_of_a_code_passes_straight_through() {
    let graph = around(|g, x| g.nearest_code(x, "book", 6));
    let weights = randomised(&graph);
    let (_, changes) = step(&graph, &weights, &Arc::default());
    let plain = around(|_, x| x);
    let (_, expected) = step(&plain, &weights, &Arc::default());
    let gradient = |changes: &Changes| changes.gradients.get("before.weight").expect("is there").clone();
    assert_eq!(gradient(&changes), gradient(&expected));
    assert!(!changes.gradients.contains("book"));
}

#[test]
fn convolutions_taken_apart_have_the_same_gradients() {
    let config = ModelConfig {
        input_size: 64,
        ..ModelConfig::preset(Preset::Compact)
    };
    let whole = arch::segmentation(&config).expect("has one");
    let apart = narrow_before_resizing(&whole);
    assert!(apart.len() > whole.len());
    assert_eq!(whole.tensors(""), apart.tensors(""));
    let weights = randomised(&whole);
    let [whole, apart] = [whole, apart].map(|graph| step(&graph, &weights, &Arc::default()));
    assert!(
        (whole.0 - apart.0).abs() < 1e-4 * whole.0.abs().max(1.0),
        "{} {}",
        whole.0,
        apart.0
    );
    for (name, theirs) in whole.1.gradients.iter() {
        let ours = apart.1.gradients.get(name).expect("is there");
        assert_eq!(ours.shape, theirs.shape, "{name}");
        let length =
            |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v * v)).sum::<f64>().sqrt();
        let apart = length(&mut ours.data.iter().zip(&theirs.data).map(|(a, b)| a - b));
        let all = length(&mut theirs.data.iter().copied());
        // an activation on the other side of zero moves single gradients
        assert!(apart <= 2e-2 * all + 1e-6, "{name}: {apart} of {all}");
    }
}

#[test]
fn used_memory_changes_nothing() {
    let config = ModelConfig {
        input_size: 64,
        ..ModelConfig::preset(Preset::Compact)
    };
    for graph in [Some(arch::student(&config)), arch::segmentation(&config)]
        .into_iter()
        .flatten()
    {
        let graph = narrow_before_resizing(&graph);
        let weights = randomised(&graph);
        let pool: Arc<Pool> = Arc::default();
        let fresh = step(&graph, &weights, &pool);
        let used = step(&graph, &weights, &pool);
        assert!(fresh == used, "a step in used memory has other gradients");
    }
}
