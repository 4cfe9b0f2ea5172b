use super::*;
use crate::inspect::familiarity::{Appearance, cells};
use crate::inspect::good::GoodImage;

/// Numbers in [0, 1) that look random.
fn noise(place: usize) -> f32 {
    let value = libm::sinf(place as f32 * 12.9898) * 43_758.547;
    value - value.floor()
}

/// Features of the teacher for a good image: in every place one of two kinds, with some noise.
fn features(image: usize) -> [Grid; 2] {
    [(8, 40), (4, 112)].map(|(side, channels)| {
        let mut grid = Grid::zeros(side, side, channels);
        for (place, vector) in grid.data.chunks_exact_mut(channels).enumerate() {
            let kind = if noise(image * 131 + place) < 0.5 {
                0.0
            } else {
                1.0
            };
            for (channel, value) in vector.iter_mut().enumerate() {
                let own = if channel % 2 == 0 { kind } else { 1.0 - kind };
                *value = own + 0.1 * noise(image * 7919 + place * 131 + channel);
            }
        }
        grid
    })
}

fn good(image: usize) -> GoodImage {
    let looks = [features(image), features(image + 1000)];
    GoodImage {
        cells: looks.each_ref().map(|[middle, coarse]| cells(middle, coarse)),
        appearance: Appearance::default(),
        features: Some(looks),
    }
}

fn learned(images: usize) -> Option<Codebook> {
    Codebook::learn(&(0..images).map(good).collect::<Vec<_>>())
}

#[test]
fn only_what_good_images_do_not_show_is_raised() {
    let codebook = learned(12).expect("are enough");
    let mut image = features(99);
    let before = codebook.shifts(&image).expect("are numbers");
    assert_eq!((before.width(), before.height()), (8, 8));
    // most good images have nothing beyond one standard deviation
    assert!(before.values().iter().all(|&shift| (0.0..MOST).contains(&shift)));
    // both kinds at once, which no place of a good image has
    let place = 3 * 8 + 5;
    image[0].data[place * 40..][..40].fill(1.0);
    let after = codebook.shifts(&image).expect("are numbers");
    assert!(after.values()[place] == MOST);
    let others = || (0..64).filter(|&other| other != place);
    assert!(others().all(|other| after.values()[other] == before.values()[other]));
}

#[test]
fn the_same_images_give_the_same_codebook() {
    assert_eq!(learned(9), learned(9));
    assert_ne!(learned(9), learned(10));
}

#[test]
fn a_codebook_comes_back_from_a_file() {
    let codebook = learned(8).expect("are enough");
    let (record, weights) = (codebook.record(), codebook.weights());
    let kept = weights
        .rounded(crate::files::storage::Precision::Int8)
        .expect("is written");
    assert_eq!(kept, weights, "the smallest files lose nothing of it");
    let teacher = TeacherKind::EfficientnetLite0;
    let back = Codebook::from_file(&record, &kept, teacher).expect("reads");
    assert_eq!(back, codebook);
    assert_eq!(back.shifts(&features(5)), codebook.shifts(&features(5)));
    let said = |record: &CodebookRecord, weights: &Weights, teacher| {
        Codebook::from_file(record, weights, teacher)
            .expect_err("is refused")
            .to_string()
    };
    let other = said(&record, &weights, TeacherKind::Resnet18);
    assert!(other.contains("codebook.0.weight"), "{other}");
    let missing = said(&record, &Weights::default(), teacher);
    assert!(missing.contains("codebook.0."), "{missing}");
    let mut broken = record;
    broken.levels[1].deviation = 0.0;
    assert!(said(&broken, &weights, teacher).contains("not numbers above 0"));
}

#[test]
fn few_images_and_blank_ones_have_none() {
    assert_eq!(learned(7), None);
    let blank = |image| {
        let mut own = good(image);
        for grid in own.features.iter_mut().flatten().flatten() {
            grid.data.fill(0.25);
        }
        own
    };
    assert_eq!(Codebook::learn(&(0..9).map(blank).collect::<Vec<_>>()), None);
    // images that were not trained on say nothing here
    let unseen = |image| GoodImage {
        features: None,
        ..good(image)
    };
    assert_eq!(Codebook::learn(&(0..9).map(unseen).collect::<Vec<_>>()), None);
}
