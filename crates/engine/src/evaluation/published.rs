//! The paper's own figures on `MVTec` AD (Zhang et al., CVPR 2023, tables 2 to 4): means and
//! standard deviations over five seeds, in percent.

use super::Metric;

/// A mean and its standard deviation.
pub type MeanStd = (f64, f64);

/// One category's published figures; image AUC and PRO are not given per category.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// The category's folder name.
    pub category: &'static str,
    values: [Option<MeanStd>; Metric::COUNT],
}

/// The mean over all categories.
pub const MEAN: Published = {
    let mut mean = row("mean", (97.9, 0.3), (75.8, 0.8), (76.4, 1.0), (57.8, 1.8));
    mean.values[Metric::ImageAuc as usize] = Some((98.6, 0.4));
    mean
};

/// All categories.
pub const CATEGORIES: [Published; 15] = [
    row("bottle", (99.2, 0.2), (90.3, 1.8), (90.5, 1.7), (82.5, 4.1)),
    row("cable", (97.3, 0.4), (60.4, 2.3), (51.1, 2.5), (26.7, 3.7)),
    row("capsule", (99.1, 0.0), (56.3, 1.1), (49.4, 1.5), (27.3, 3.3)),
    row("carpet", (96.1, 2.2), (72.8, 5.8), (84.5, 4.9), (58.6, 17.1)),
    row("grid", (99.1, 0.1), (61.5, 1.6), (61.6, 1.8), (47.4, 2.9)),
    row("hazelnut", (99.6, 0.2), (88.4, 2.2), (87.7, 1.8), (77.6, 3.4)),
    row("leather", (99.7, 0.0), (75.6, 1.2), (77.5, 1.8), (65.3, 3.9)),
    row("metal_nut", (98.6, 0.4), (93.5, 1.1), (93.6, 1.3), (86.5, 2.7)),
    row("pill", (98.7, 0.4), (83.1, 4.2), (84.8, 3.8), (61.1, 12.4)),
    row("screw", (98.5, 0.3), (58.7, 3.7), (53.6, 3.6), (8.6, 2.3)),
    row("tile", (98.0, 0.7), (90.0, 2.5), (94.7, 1.8), (86.5, 3.6)),
    row("toothbrush", (99.3, 0.1), (75.2, 1.8), (59.8, 2.9), (32.1, 5.1)),
    row("transistor", (89.1, 3.4), (64.8, 4.0), (78.3, 2.5), (49.6, 8.4)),
    row("wood", (97.7, 0.3), (81.9, 1.2), (87.8, 2.8), (76.4, 3.4)),
    row("zipper", (99.1, 0.5), (85.2, 3.3), (90.6, 2.3), (80.3, 4.9)),
];

const fn row(
    category: &'static str,
    pixel_auc: MeanStd,
    pixel_ap: MeanStd,
    iap: MeanStd,
    iap90: MeanStd,
) -> Published {
    let mut values = [None; Metric::COUNT];
    values[Metric::PixelAuc as usize] = Some(pixel_auc);
    values[Metric::PixelAp as usize] = Some(pixel_ap);
    values[Metric::Iap as usize] = Some(iap);
    values[Metric::Iap90 as usize] = Some(iap90);
    Published { category, values }
}

impl Published {
    /// The figures of a category of this name.
    pub fn of(category: &str) -> Option<&'static Self> {
        CATEGORIES.iter().find(|row| row.category == category)
    }

    /// The value of a metric, if the paper has it.
    pub fn get(&self, metric: Metric) -> Option<MeanStd> {
        self.values[metric as usize]
    }

    /// All values, in the order of [`Metric::ALL`].
    pub fn values(&self) -> [Option<MeanStd>; Metric::COUNT] {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_means_are_those_of_the_rows() {
        // printed to one decimal
        const ROUNDING: f64 = 0.1;
        let mut compared = 0;
        for metric in Metric::ALL {
            let rows = CATEGORIES.iter().filter_map(|row| row.get(metric));
            let values: Vec<f64> = rows.map(|(mean, _)| mean).collect();
            let Some((printed, _)) = MEAN.get(metric).filter(|_| !values.is_empty()) else {
                continue;
            };
            let ours = values.iter().sum::<f64>() / values.len() as f64;
            assert!(
                (ours - printed).abs() <= ROUNDING,
                "{metric:?}: {ours} is not {printed}"
            );
            compared += values.len();
        }
        assert_eq!(compared, 4 * CATEGORIES.len());
    }
}
