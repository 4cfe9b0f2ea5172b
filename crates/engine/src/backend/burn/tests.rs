//! Networks on Burn against the same on the CPU's own kernels: maps, losses, gradients and running statistics.

use std::sync::Arc;

use burn::tensor::Device;
use pollster::block_on;

use super::gpu::GPU;
use super::{BurnModel, BurnTraining};
use crate::arch::weights::Weights;
use crate::arch::{self, Graph};
use crate::backend::cpu::{CpuModel, CpuTeacher, CpuTraining};
use crate::backend::optimiser::{Rule, StepSize};
use crate::config::{ModelConfig, Preset, TrainConfig};
use crate::inspect::familiarity::cells;
use crate::inspect::{Network, ViewMaps};
use crate::test_support::{grid, networks, randomised};

/// Random weights for all trained parts, and for the teacher.
fn weights(config: &ModelConfig) -> (Weights, Weights) {
    let mut all = Weights::default();
    for (prefix, graph) in arch::parts(config) {
        all.extend(randomised(&graph).prefixed(prefix));
    }
    (all, randomised(&arch::teacher(config.teacher, config.input_size)))
}

fn devices() -> Vec<(Device, f32)> {
    let gpu = GPU.as_ref().map(|gpu| (gpu.clone(), 2e-3));
    std::iter::once((Device::flex(), 1e-4)).chain(gpu).collect()
}

#[test]
fn every_network_gives_the_maps_of_the_cpu() {
    for config in networks() {
        let (weights, teacher) = weights(&config);
        let of_cpu = CpuTeacher::new(config.teacher, &teacher, config.input_size).expect("builds");
        let cpu = CpuModel::new(&config, Arc::new(of_cpu), &weights).expect("builds");
        let image = grid(3, [config.input_size, config.input_size, 3]);
        let ours = cpu.run(&image).checked().expect("are numbers");
        for (device, tolerance) in devices() {
            let burn = BurnModel::new(&config, &teacher, &weights, &device).expect("builds");
            let theirs = block_on(burn.maps(&image)).expect("runs");
            assert_eq!(ours.segmentation.is_some(), theirs.segmentation.is_some());
            let all = |maps: &ViewMaps| {
                let levels = maps.levels.iter().cloned();
                let all = maps
                    .segmentation
                    .iter()
                    .cloned()
                    .chain([maps.dest.clone()])
                    .chain(levels);
                all.collect::<Vec<_>>()
            };
            let cells = [&ours, &theirs].map(|maps| cells(&maps.features[0], &maps.features[1]));
            assert_eq!(cells[0].data.len(), cells[1].data.len());
            let apart = cells[0].data.iter().zip(&cells[1].data);
            let apart = apart.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < tolerance, "cells: {apart} for {config:?} on {device:?}");
            for (ours, theirs) in all(&ours).iter().zip(&all(&theirs)) {
                assert_eq!(ours.width(), theirs.width());
                let largest = ours.values().iter().copied().fold(f32::MIN, f32::max);
                let smallest = ours.values().iter().copied().fold(f32::MAX, f32::min);
                assert!(
                    largest - smallest > 1e-3,
                    "a map that is the same everywhere shows nothing"
                );
                let apart = ours
                    .values()
                    .iter()
                    .zip(theirs.values())
                    .map(|(a, b)| (a - b).abs());
                let apart = apart.fold(0.0, f32::max);
                assert!(apart < tolerance, "{apart} for {config:?} on {device:?}");
            }
        }
    }
}

/// Relative distance of two lists of tensors, all together.
fn distance(ours: &Weights, theirs: &Weights) -> f64 {
    let mut totals = [0f64; 2];
    for (name, theirs) in theirs.iter() {
        let ours = ours.get(name).expect("is there");
        assert_eq!(ours.shape, theirs.shape, "{name}");
        for (a, b) in ours.data.iter().zip(&theirs.data) {
            totals[0] += f64::from(a - b).powi(2);
            totals[1] += f64::from(*b).powi(2);
        }
    }
    (totals[0] / totals[1].max(1e-30)).sqrt()
}

#[test]
fn steps_are_those_of_the_cpu() {
    let config = ModelConfig {
        input_size: 64,
        ..ModelConfig::preset(Preset::Compact)
    };
    let (weights, teacher) = weights(&config);
    let mut recipe = TrainConfig::preset(Preset::Paper);
    // momenta after one step are the gradients
    recipe.weight_decay = 0.0;
    let rule = Rule::new(&recipe);
    let size = StepSize {
        rate: 1e-3,
        head: 0.5,
        step: 0,
    };
    let images = |seed: u32| (0..3u32).map(|i| grid(seed + i, [64, 64, 3])).collect::<Vec<_>>();
    let mask: Vec<f32> = (0..3 * 256).map(|i| f32::from(u8::from(i % 7 < 2))).collect();
    let mut cpu = CpuTraining::new(&config, &teacher, rule).expect("builds");
    cpu.set_weights(&weights);
    let cpu_segmentation = cpu
        .segmentation_step(&images(20), &mask, size, 4.0)
        .expect("steps");
    let cpu_student = cpu
        .student_step(&images(0), images(10), size, 1.0)
        .expect("steps");
    for (device, tolerance) in devices() {
        let mut burn = BurnTraining::new(&config, &teacher, rule, &device).expect("builds");
        burn.set_weights(&weights);
        let [focal, l1] = block_on(burn.segmentation_step(&images(20), &mask, size, 4.0)).expect("steps");
        assert!(
            (focal - cpu_segmentation[0]).abs() < tolerance,
            "{focal} {cpu_segmentation:?}"
        );
        assert!(
            (l1 - cpu_segmentation[1]).abs() < tolerance,
            "{l1} {cpu_segmentation:?}"
        );
        let student = block_on(burn.student_step(&images(0), &images(10), size, 1.0)).expect("steps");
        assert!(
            (student - cpu_student).abs() < tolerance * cpu_student,
            "{student} {cpu_student}"
        );
        // rounding decides for a few values whether `ReLU` lets them through: single gradients may differ, all together
        // hardly
        let moments = block_on(burn.moments()).expect("reads");
        let apart = distance(&moments, &cpu.moments());
        assert!(apart < 2e-2, "gradients are apart by {apart} on {device:?}");
        let after = block_on(burn.weights()).expect("reads");
        let apart = distance(&after, &cpu.weights());
        assert!(apart < 1e-3, "weights are apart by {apart} on {device:?}");
    }
}

#[test]
fn a_resumed_optimiser_has_its_moments() {
    let config = ModelConfig {
        input_size: 64,
        ..ModelConfig::stpm(Preset::Compact)
    };
    let (weights, teacher) = weights(&config);
    let rule = Rule::new(&TrainConfig::preset(Preset::Compact));
    let build = || {
        let mut own = BurnTraining::new(&config, &teacher, rule, &Device::flex()).expect("builds");
        own.set_weights(&weights);
        own
    };
    let images = |seed| vec![grid(seed, [64, 64, 3]), grid(seed + 1, [64, 64, 3])];
    let size = |step| StepSize {
        rate: 1e-3,
        head: 1.0,
        step,
    };
    let mut whole = build();
    block_on(whole.student_step(&images(0), &images(0), size(0), 1.0)).expect("steps");
    let (state, moments) = (block_on(whole.weights()), block_on(whole.moments()));
    block_on(whole.student_step(&images(5), &images(5), size(1), 1.0)).expect("steps");
    let mut resumed = build();
    resumed.set_weights(&state.expect("reads"));
    resumed.restore(&moments.expect("reads")).expect("fits");
    block_on(resumed.student_step(&images(5), &images(5), size(1), 1.0)).expect("steps");
    let [whole, resumed] = [whole, resumed].map(|own| block_on(own.weights()).expect("reads"));
    assert!(whole == resumed, "a resumed training goes another way");
}

/// The loss of these networks is computed on the CPU on every device.
#[test]
fn networks_of_their_own_learn_as_on_the_cpu() {
    use crate::backend::device::Device as Place;
    use crate::backend::network::TrainedNetwork;
    use destseg_kernels::Grid;

    let graph = arch::draem([4, 2], 64);
    let weights = randomised(&graph);
    let mut recipe = TrainConfig::preset(Preset::Paper);
    recipe.weight_decay = 0.0;
    let images: Vec<Grid> = (0..3).map(|seed| grid(seed, [64, 64, 3])).collect();
    // half of the sum of squares, whose gradients are the values themselves
    let loss = |outputs: &[&[Grid]]| {
        let values = outputs
            .iter()
            .flat_map(|maps| maps.iter())
            .flat_map(|map| &map.data);
        let sum: f32 = values.map(|value| value * value / 2.0).sum();
        (sum, outputs.iter().map(|maps| maps.to_vec()).collect())
    };
    let step = |place: &Place| {
        let mut network = TrainedNetwork::new(&graph, weights.clone(), Rule::new(&recipe), place);
        // so long a step that the weights are the gradients
        let size = StepSize {
            rate: 1e3,
            head: 1.0,
            step: 0,
        };
        let said = block_on(network.step(vec![images.clone()], size, loss)).expect("steps");
        (said, block_on(network.weights()).expect("reads"))
    };
    let (ours, after) = step(&Place::Cpu);
    for (device, tolerance) in devices() {
        let (theirs, moved) = step(&Place::Burn(device.clone()));
        assert!(
            (ours - theirs).abs() < tolerance * ours,
            "{ours} {theirs} on {device:?}"
        );
        let apart = distance(&moved, &after);
        assert!(apart < 2e-2, "gradients are apart by {apart} on {device:?}");
    }
}

/// Operations that only other methods need.
#[test]
fn other_operations_are_those_of_the_cpu() {
    use crate::arch::graph::{self, Corners, Layer};
    use crate::backend::cpu::Program;
    use destseg_kernels::pool::Pool;

    let mut graph = Graph::default();
    let image = graph.input([16, 16, 3]);
    let x = graph.conv(image, "down", Layer::dense(8, 4).stride(2).padding(1).bias());
    let x = graph.instance_norm(x);
    let x = graph.activation(x, destseg_kernels::Activation::Relu);
    let x = graph.max_pool(
        x,
        graph::Pool {
            kernel: 2,
            stride: 2,
            padding: 0,
        },
    );
    let codes = graph.nearest_code(x, "book", 12);
    let up = graph.conv_transpose(codes, "up", 5, [4, 2, 1]);
    let large = graph.resize(codes, [8, 8], Corners::OfPixels);
    let all = graph.concat(vec![up, large]);
    let logits = graph.conv(all, "out", Layer::dense(2, 3).bias());
    let map = graph.softmax(logits);
    let graph = graph.with_outputs([map]);
    let weights = randomised(&graph);
    let image = grid(1, [16, 16, 3]);
    let ours = Program::new(&graph, &weights)
        .expect("builds")
        .run(&[&image], &Pool::default())
        .swap_remove(0);
    for (device, tolerance) in devices() {
        let tensors = super::network::Tensors::new(&weights, &device);
        let input = super::model::upload(std::slice::from_ref(&image), &device);
        let theirs = super::network::run(&graph, &tensors, vec![input], super::network::Mode::Inference);
        let theirs = theirs.expect("runs").swap_remove(0).permute([0, 2, 3, 1]);
        let theirs = block_on(super::read(theirs.flatten::<1>(0, 3))).expect("reads");
        let apart = ours.data.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max);
        assert!(apart < tolerance, "{apart} on {device:?}");
    }
}
