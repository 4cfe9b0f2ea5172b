//! The metrics of an evaluation: names, explanations and how each is computed.
//!
//! A new metric is a variant and a row of [`TABLE`] here, an arm in [`Input::value`], and its
//! computation as a file in `metrics`.

use std::cell::OnceCell;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::metrics::{AUPRO_LIMIT, InstanceAp, Ranking};
use crate::{Error, Result};

/// A metric of one output, in [0, 1]; higher is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Area under the ROC curve of the image scores.
    ImageAuc,
    /// Area under the ROC curve of all pixels.
    PixelAuc,
    /// Average precision of all pixels.
    PixelAp,
    /// Area under the per-region overlap up to a false positive rate of 0.3.
    Aupro,
    /// Instance average precision.
    Iap,
    /// Pixel precision at 90 % of the instances.
    Iap90,
}

struct Row {
    metric: Metric,
    id: &'static str,
    name: &'static str,
    explanation: &'static str,
}

/// All metrics, in the order of the variants and of the columns of tables.
const TABLE: [Row; 6] = [
    Row {
        metric: Metric::ImageAuc,
        id: "image_auc",
        name: "image AUC",
        explanation: "how surely a defective image scores higher than a good one",
    },
    Row {
        metric: Metric::PixelAuc,
        id: "pixel_auc",
        name: "pixel AUC",
        explanation: "the same for single pixels",
    },
    Row {
        metric: Metric::PixelAp,
        id: "pixel_ap",
        name: "pixel AP",
        explanation: "precision of the marked pixels, averaged over recall",
    },
    Row {
        metric: Metric::Aupro,
        id: "aupro",
        name: "PRO",
        explanation: "share of each defect that is marked, up to 30 % falsely marked pixels",
    },
    Row {
        metric: Metric::Iap,
        id: "iap",
        name: "IAP",
        explanation: "pixel precision at which each defect is found, averaged",
    },
    Row {
        metric: Metric::Iap90,
        id: "iap90",
        name: "IAP@90",
        explanation: "pixel precision when nine of ten defects are found",
    },
];

impl Metric {
    /// The number of metrics.
    pub const COUNT: usize = TABLE.len();

    /// All metrics, in the order of tables.
    pub const ALL: [Self; Self::COUNT] = {
        let mut all = [Self::ImageAuc; Self::COUNT];
        let mut index = 0;
        while index < all.len() {
            all[index] = TABLE[index].metric;
            assert!(
                all[index] as usize == index,
                "the table is in the order of the variants"
            );
            index += 1;
        }
        all
    };

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The key in JSON.
    pub fn id(self) -> &'static str {
        self.row().id
    }

    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What the metric means, in one sentence without a full stop.
    pub fn explanation(self) -> &'static str {
        self.row().explanation
    }

    fn from_id(id: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.id == id).map(|row| row.metric)
    }
}

/// The metrics of one output; none where the test set does not define one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Metrics([Option<f64>; Metric::COUNT]);

impl Metrics {
    /// The names of all metrics, in the order of [`Metric::ALL`].
    pub const NAMES: [&str; Metric::COUNT] = {
        let mut names = [""; Metric::COUNT];
        let mut index = 0;
        while index < names.len() {
            names[index] = TABLE[index].name;
            index += 1;
        }
        names
    };

    /// Metrics from a function of each.
    pub fn from_fn(value: impl FnMut(Metric) -> Option<f64>) -> Self {
        Self(Metric::ALL.map(value))
    }

    /// The value of a metric.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        self.0[metric as usize]
    }

    /// All values, in the order of [`Metric::ALL`].
    pub fn values(&self) -> [Option<f64>; Metric::COUNT] {
        self.0
    }

    /// The mean of each metric over those that have it.
    pub fn mean<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sums = [(0.0, 0); Metric::COUNT];
        for metrics in all {
            for ((sum, count), value) in sums.iter_mut().zip(metrics.values()) {
                if let Some(value) = value {
                    *sum += value;
                    *count += 1;
                }
            }
        }
        Self(sums.map(|(sum, count)| (count > 0).then(|| sum / f64::from(count))))
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(Metric::ALL.map(|metric| (metric.id(), self.get(metric))))
    }
}

impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Metrics;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object with a value for each metric")
            }

            /// Metrics that are not named are none, unknown ones are ignored: reports of other
            /// versions can be read.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Metrics, A::Error> {
                let mut metrics = Metrics::default();
                let mut named = [false; Metric::COUNT];
                while let Some(id) = map.next_key::<String>()? {
                    let Some(metric) = Metric::from_id(&id) else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    if std::mem::replace(&mut named[metric as usize], true) {
                        return Err(A::Error::duplicate_field(metric.id()));
                    }
                    metrics.0[metric as usize] = map.next_value()?;
                }
                Ok(metrics)
            }
        }
        deserializer.deserialize_map(Values)
    }
}

/// A value, or the reason why it is not defined.
type Value = std::result::Result<f64, String>;

/// What the metrics of one output are computed from.
pub(super) struct Input<'a> {
    images: Result<&'a Ranking, &'a Error>,
    pixels: &'a Ranking,
    /// Computed once for all metrics of instances.
    instances: OnceCell<std::result::Result<InstanceAp, String>>,
}

impl<'a> Input<'a> {
    pub(super) fn new(images: Result<&'a Ranking, &'a Error>, pixels: &'a Ranking) -> Self {
        Self {
            images,
            pixels,
            instances: OnceCell::new(),
        }
    }

    pub(super) fn value(&self, metric: Metric) -> Value {
        match metric {
            Metric::ImageAuc => self.of_images(Ranking::auc),
            Metric::PixelAuc => self.of_pixels(Ranking::auc),
            Metric::PixelAp => self.of_pixels(Ranking::average_precision),
            Metric::Aupro => self.of_pixels(|pixels| pixels.aupro(AUPRO_LIMIT)),
            Metric::Iap => self.of_instances(|instances| instances.iap),
            Metric::Iap90 => self.of_instances(|instances| instances.iap90),
        }
    }

    fn of_images(&self, compute: impl FnOnce(&Ranking) -> Result<f64>) -> Value {
        let images = self
            .images
            .map_err(|_| "there are no scores of labelled images".to_owned())?;
        if images.defective() == 0 {
            return Err("there is no defective image that could be analysed".into());
        }
        if images.good() == 0 {
            return Err("there is no good image that could be analysed".into());
        }
        compute(images).map_err(|err| err.to_string())
    }

    fn of_pixels(&self, compute: impl FnOnce(&Ranking) -> Result<f64>) -> Value {
        self.check_masks()?;
        compute(self.pixels).map_err(|err| err.to_string())
    }

    fn of_instances(&self, pick: impl FnOnce(&InstanceAp) -> f64) -> Value {
        self.check_masks()?;
        let compute = || self.pixels.instance_ap().map_err(|err| err.to_string());
        let instances = self.instances.get_or_init(compute);
        instances.as_ref().map(pick).map_err(String::clone)
    }

    /// With masks there are good pixels, too: those around defects.
    fn check_masks(&self) -> std::result::Result<(), String> {
        match self.pixels.defective() {
            0 => Err("no defective image has a mask that could be used".into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_those_that_have_the_metric() {
        let metrics = |image_auc, pixel_ap| {
            Metrics::from_fn(|metric| match metric {
                Metric::ImageAuc => image_auc,
                Metric::PixelAp => pixel_ap,
                _ => None,
            })
        };
        let mean = Metrics::mean(&[metrics(Some(0.5), None), metrics(Some(1.0), Some(0.2))]);
        assert_eq!(mean, metrics(Some(0.75), Some(0.2)));
    }

    #[test]
    fn json_has_a_field_for_each_metric() {
        let metrics = Metrics::from_fn(|metric| (metric == Metric::PixelAp).then_some(0.5));
        let text = serde_json::to_string(&metrics).expect("is JSON");
        let expected =
            r#"{"image_auc":null,"pixel_auc":null,"pixel_ap":0.5,"aupro":null,"iap":null,"iap90":null}"#;
        assert!(text.starts_with(expected.trim_end_matches('}')), "{text}");
        for text in [expected, r#"{"pixel_ap":0.5,"of_another_version":[1]}"#] {
            let read: Metrics = serde_json::from_str(text).expect("is read");
            assert_eq!(read, metrics, "{text}");
        }
    }
}
