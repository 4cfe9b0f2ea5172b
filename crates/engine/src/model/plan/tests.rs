//! The plan against Burn's network, all maps of all kinds of networks.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use destseg_kernels::Grid;
use pollster::block_on;

use super::{Plan, TeacherPlan};
use crate::config::{Evidence, ModelConfig, Preset, Stem};
use crate::model::teacher::Teacher;
use crate::model::weights::{Weights, collect, read};
use crate::model::{DeSTSeg, Output};

/// Reproducible weights that keep activations near 1, variances positive and every term in play.
pub(crate) fn randomised(weights: &Weights) -> Weights {
    let mut state = 1u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    let mut all = Weights::default();
    for (name, array) in weights.iter() {
        let mut array = array.clone();
        let fan_in: usize = array.shape.iter().skip(1).product();
        for value in &mut array.data {
            *value = match array.shape.len() {
                4 => next() * (5.0 / fan_in as f32).sqrt(),
                _ if name.ends_with("running_var") => 1.0 + 0.5 * next(),
                _ if name.contains("bn") && name.ends_with("weight") => 1.0 + 0.3 * next(),
                _ => 0.3 * next(),
            };
        }
        all.insert(name.to_owned(), array);
    }
    all
}

/// Both ways' maps of an image, largest difference each.
fn compare(config: &ModelConfig) -> Vec<f32> {
    let (side, device) = (config.input_size, Device::flex());
    let empty = match Teacher::new(config.teacher, &device) {
        Teacher::Resnet18(network) => block_on(collect(&network, "")),
        Teacher::EfficientnetLite0(network) => block_on(collect(&network, "")),
    };
    let teacher = randomised(&empty.expect("reads"));
    let burn = Teacher::load(config.teacher, &teacher, &device).expect("loads");
    let network = DeSTSeg::new(config, burn, &device).expect("builds");
    let weights = randomised(&block_on(network.trained_weights()).expect("reads"));
    let network = network.load(&weights).expect("loads");
    let teacher = TeacherPlan::new(config.teacher, &teacher, side).expect("builds");
    let plan = Plan::new(config, Arc::new(teacher), &weights).expect("builds");

    let planes: Vec<f32> = (0..3 * side * side)
        .map(|i| ((i * i) % 251) as f32 / 125.0 - 1.0)
        .collect();
    let mut image = Grid::zeros(side, side, 3);
    for (i, value) in image.data.iter_mut().enumerate() {
        *value = planes[i % 3 * side * side + i / 3];
    }
    let Output {
        segmentation,
        dest,
        levels: [fine, middle, coarse],
    } = network.forward(Tensor::from_data(
        TensorData::new(planes, [1, 3, side, side]),
        &device,
    ));
    // the second run finds the first one's memory
    plan.run(&image);
    let ours = plan.run(&image);
    assert_eq!(ours.segmentation.is_some(), segmentation.is_some());
    let theirs = [segmentation, Some(dest), Some(fine), Some(middle), Some(coarse)];
    let ours = ours
        .segmentation
        .into_iter()
        .chain([ours.dest])
        .chain(ours.levels);
    let pairs = ours.zip(theirs.into_iter().flatten());
    pairs
        .map(|(ours, theirs)| {
            let theirs = block_on(read(theirs.flatten::<1>(0, 3))).expect("reads");
            assert_eq!(ours.data.len(), theirs.len());
            let spread = theirs.iter().fold(f32::MIN, |a, &b| a.max(b))
                - theirs.iter().fold(f32::MAX, |a, &b| a.min(b));
            assert!(spread > 1e-3, "a map that is the same everywhere shows nothing");
            let apart = ours.data.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
            apart.fold(0.0, f32::max)
        })
        .collect()
}

#[test]
fn every_network_gives_burns_maps() {
    let small = |preset| ModelConfig {
        input_size: 96,
        ..ModelConfig::preset(preset)
    };
    let mut configs = vec![small(Preset::Compact), small(Preset::Paper)];
    // the other way round in everything that the presets choose
    for mut config in configs.clone() {
        if let Some(network) = &mut config.segmentation {
            network.squeeze = !network.squeeze;
            network.rates = [1, 2, 5];
            network.blocks = 2;
            network.evidence = match network.evidence {
                Evidence::Products | Evidence::ProductsDifferencesAndFeatures => {
                    Evidence::ProductsAndDifferences
                }
                Evidence::ProductsAndDifferences => Evidence::ProductsDifferencesAndFeatures,
            };
        }
        config.student.stem = match config.student.stem {
            Stem::Conv => Stem::Resnet,
            Stem::Resnet => Stem::Conv,
        };
        config.student.blocks = 3 - config.student.blocks;
        configs.push(config);
    }
    for preset in [Preset::Compact, Preset::Paper] {
        configs.push(ModelConfig {
            input_size: 64,
            ..ModelConfig::stpm(preset)
        });
    }
    for config in configs {
        let apart = compare(&config);
        assert!(
            apart.iter().all(|&apart| apart < 1e-4),
            "{apart:?} for {config:?}"
        );
    }
}

#[test]
fn a_missing_tensor_is_named() {
    let config = ModelConfig::preset(Preset::Compact);
    let error = TeacherPlan::new(config.teacher, &Weights::default(), 256).expect_err("lacks all");
    assert!(error.to_string().contains("stem.weight"), "{error}");
}
