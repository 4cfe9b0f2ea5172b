//! The baseline, STPM.

use destseg_engine::arch;
use destseg_engine::arch::prefix;
use destseg_engine::arch::weights::Weights;
use destseg_engine::backend::cpu::{CpuModel, CpuTeacher, Program, tape};
use destseg_engine::config::{ModelConfig, Preset};
use destseg_engine::files::teacher::fold;
use destseg_kernels::Grid;
use destseg_kernels::pool::Pool;

use crate::reference::{check, expected, formula, formula_teacher, input, planes};

const TOLERANCE: f64 = 1e-5;

#[test]
fn loss_and_map_of_stpm_are_the_references() {
    let Some(fixture) = expected("baselines_expected.json") else {
        return;
    };
    let expected = &fixture["stpm"];
    let config = ModelConfig {
        input_size: 64,
        ..ModelConfig::stpm(Preset::Paper)
    };
    let mut weights = Weights::default();
    for (name, shape) in arch::student(&config).tensors("").iter() {
        weights.insert(name.to_owned(), formula(&format!("stpm_student.{name}"), shape));
    }
    let images = input("stpm_input", 4.0, [3, 3, 64, 64]);
    let teacher = fold(config.teacher, &formula_teacher()).expect("folds");
    let teacher = CpuTeacher::new(config.teacher, &teacher, 64).expect("builds");
    let student = Program::new(&arch::student(&config), &weights).expect("builds");
    let pool = Pool::default();
    let of_teacher: Vec<[Grid; 3]> = images.iter().map(|image| teacher.run(image)).collect();
    let of_student: Vec<Vec<Grid>> = images.iter().map(|image| student.run(&[image], &pool)).collect();
    let loss: f32 = (0..3)
        .map(|level| {
            let teacher: Vec<Grid> = of_teacher.iter().map(|levels| levels[level].clone()).collect();
            let student: Vec<Grid> = of_student.iter().map(|levels| levels[level].clone()).collect();
            tape::cosine(&teacher, &student.into(), config.distance.scale()).0
        })
        .sum();
    let error = f64::from(loss) - expected["loss_official_mean"].as_f64().expect("is a number");
    assert!(error.abs() < TOLERANCE, "the loss is off by {error}");

    let model = CpuModel::new(&config, teacher.into(), &weights.prefixed(prefix::STUDENT)).expect("builds");
    let maps: Vec<_> = images.iter().map(|image| model.run(image)).collect();
    assert!(maps.iter().all(|maps| maps.segmentation.is_none()));
    check(
        "map",
        &planes(maps.iter().map(|maps| &maps.dest)),
        &expected["map16"],
        TOLERANCE,
    );
}
