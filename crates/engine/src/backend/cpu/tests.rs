//! Programs against the same networks computed operation by operation.

use destseg_kernels::Grid;
use destseg_kernels::pool::Pool;

use super::Program;
use crate::arch::graph::{Corners, Graph, Layer, Value};
use crate::arch::{self, weights::Weights};
use crate::config::{ModelConfig, Preset};
use crate::test_support::{grid, networks, randomised};

/// The largest difference between the outputs of a network's program and those of the network computed operation by
/// operation, which is what a program does where every value is an output. Relative to the largest value.
fn apart(graph: &Graph, weights: &Weights) -> f32 {
    let inputs: Vec<Grid> = graph
        .inputs()
        .iter()
        .enumerate()
        .map(|(i, &input)| grid(i as u32, graph.size(input)))
        .collect();
    let inputs: Vec<&Grid> = inputs.iter().collect();
    let all: Vec<Value> = graph.nodes().map(|(value, _)| value).collect();
    let plain = Program::new(&graph.clone().with_outputs(all), weights).expect("compiles");
    let (pool, program) = (Pool::default(), Program::new(graph, weights).expect("compiles"));
    let plain = plain.run(&inputs, &pool);
    // the second run finds the first one's memory
    program.run(&inputs, &pool);
    let ours = program.run(&inputs, &pool);
    assert_eq!(ours.len(), graph.outputs().len());
    let mut worst = 0.0_f32;
    for (ours, output) in ours.iter().zip(graph.outputs()) {
        let theirs = &plain[output.index()];
        assert_eq!([ours.height, ours.width, ours.channels], graph.size(*output));
        assert_eq!(ours.data.len(), theirs.data.len());
        let largest = theirs.data.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        assert!(largest > 1e-3, "a map of zeros shows nothing");
        let differences = ours.data.iter().zip(&theirs.data).map(|(a, b)| (a - b).abs());
        worst = worst.max(differences.fold(0.0, f32::max) / largest);
    }
    worst
}

#[test]
fn programs_compute_their_networks() {
    for config in networks() {
        let teacher = arch::teacher(config.teacher, config.input_size);
        let graphs = [
            Some(teacher),
            Some(arch::student(&config)),
            arch::segmentation(&config),
        ];
        for graph in graphs.into_iter().flatten() {
            let apart = apart(&graph, &randomised(&graph));
            assert!(apart < 1e-4, "{apart} for {config:?}");
        }
    }
}

#[test]
fn programs_compute_what_other_methods_need() {
    let mut graph = Graph::default();
    let image = graph.input([16, 16, 3]);
    let x = graph.conv(image, "down", Layer::dense(8, 4).stride(2).padding(1).bias());
    let x = graph.instance_norm(x);
    let x = graph.activation(x, destseg_kernels::Activation::Relu);
    let codes = graph.nearest_code(x, "book", 12);
    let up = graph.conv_transpose(codes, "up", 5, [4, 2, 1]);
    let large = graph.resize(codes, [16, 16], Corners::OfPixels);
    let all = graph.concat(vec![image, up, large]);
    let logits = graph.conv(all, "out", Layer::dense(2, 3).bias());
    let map = graph.softmax(logits);
    let graph = graph.with_outputs([map]);
    let apart = apart(&graph, &randomised(&graph));
    assert!(apart < 1e-5, "{apart}");
}

#[test]
fn a_missing_tensor_is_named() {
    let config = ModelConfig::preset(Preset::Compact);
    let graph = arch::teacher(config.teacher, 64);
    let error = Program::new(&graph, &Weights::default()).expect_err("lacks all");
    assert!(error.to_string().contains("stem.weight"), "{error}");
}
