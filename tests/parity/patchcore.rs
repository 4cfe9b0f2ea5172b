//! The baseline, `PatchCore`.

use destseg_engine::arch::weights::Array;
use destseg_engine::backend::cpu::CpuTeacher;
use destseg_engine::config::Preset;
use destseg_engine::data::map::AnomalyMap;
use destseg_engine::files::teacher::fold;
use destseg_engine::methods::patchcore::{BankConfig, Coreset, PatchCore, gaussian, patches};

use crate::reference::{check, expected, formula_teacher, input};

const TOLERANCE: f64 = 1e-5;
const DIMENSIONS: usize = 384;

#[test]
fn bank_scores_and_map_are_the_references() {
    let Some(fixture) = expected("baselines_expected.json") else {
        return;
    };
    let expected = &fixture["patchcore"];
    let config = BankConfig {
        input_size: 64,
        ..BankConfig::preset(Preset::Paper)
    };
    assert_eq!(config.dimensions(), DIMENSIONS);
    let folded = fold(config.teacher, &formula_teacher()).expect("folds");
    let teacher = || CpuTeacher::new(config.teacher, &folded, 64).expect("builds");
    let train = input("patchcore_train", 4.0, [4, 3, 64, 64]);
    let bank: Vec<f32> = train
        .iter()
        .flat_map(|image| patches(&teacher().run(image)).data)
        .collect();
    check("bank", &bank, &expected["bank_sum"], TOLERANCE);

    let mut coreset = Coreset::new(&bank, DIMENSIONS, 0, 0, 0).expect("has points");
    coreset.choose(25);
    let chosen = coreset.chosen();
    let list = |key: &str| -> Vec<usize> {
        let numbers = expected[key].as_array().expect("is a list");
        numbers
            .iter()
            .map(|number| number.as_u64().expect("is a number") as usize)
            .collect()
    };
    assert_eq!(chosen[..10], list("coreset_first10_start0_noprojection"));
    assert_eq!(chosen[22..], list("coreset_last3"));

    let small = |values: &[f32]| values.iter().map(|value| value / 16.0).collect::<Vec<f32>>();
    let array = Array {
        shape: vec![chosen.len(), DIMENSIONS],
        data: chosen
            .iter()
            .flat_map(|&row| &bank[row * DIMENSIONS..][..DIMENSIONS])
            .copied()
            .collect(),
    };
    let small_bank = Array {
        shape: array.shape.clone(),
        data: small(&array.data),
    };
    let memory = PatchCore::new(&config, teacher(), array).expect("builds");
    let images = input("patchcore_test", 4.0, [2, 3, 64, 64]);
    let (mut distances, mut maps) = (Vec::new(), Vec::new());
    for (image, pixels) in images.iter().enumerate() {
        let found = memory.score(pixels).expect("looks");
        let score = &expected["image_scores"][image];
        for key in ["max", "weighted_anomalib"] {
            let error = f64::from(found.score) - score[key].as_f64().expect("is a number");
            assert!(error.abs() < 1e-3, "{key} of image {image} is off by {error}");
        }
        distances.extend_from_slice(found.patches.values());
        maps.extend_from_slice(memory.smooth(&found.patches).values());
    }
    check("patches", &distances, &expected["patch_scores"], TOLERANCE);
    check("map", &maps, &expected["upsampled_gauss4"], TOLERANCE);

    // the weight only shows where distances are small
    let plain = AnomalyMap::new(8, 8, small(&distances[..64])).expect("fits");
    let memory = PatchCore::new(&config, teacher(), small_bank).expect("builds");
    let test = patches(&teacher().run(&images[0])).data;
    let worst = (0..64)
        .max_by(|&a, &b| plain.values()[a].total_cmp(&plain.values()[b]))
        .expect("has patches");
    let patch = small(&test[worst * DIMENSIONS..][..DIMENSIONS]);
    let weight = memory.weight_of(&patch);
    let reference = expected["image_scores"][0]["weight_if_features_divided_by_16"]
        .as_f64()
        .expect("is a number");
    assert!(
        (f64::from(weight) - reference).abs() < 1e-5,
        "{weight} is not {reference}"
    );
    // smoothing keeps the mean
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    let smooth = gaussian(&plain.resize(64, 64), 4.0);
    assert!((mean(smooth.values()) - mean(plain.values())).abs() < 1e-3);
}
